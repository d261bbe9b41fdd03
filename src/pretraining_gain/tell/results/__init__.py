"""From predictions to tables, gains and provenance, read strictly."""
