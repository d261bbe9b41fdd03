"""Features for readers: hints on links, species in the search, a citation to copy, launch links."""
