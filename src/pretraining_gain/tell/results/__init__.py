"""Turn predictions into tables and gains; read all files strictly."""
