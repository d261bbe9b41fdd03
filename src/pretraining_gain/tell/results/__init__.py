"""Turn predictions into tables, gains and provenance; read all files strictly."""
