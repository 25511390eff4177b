"""A small CRM vendor's site with the tags that real sites carry, and Vestibule in front of it (`python -m demo`)."""
