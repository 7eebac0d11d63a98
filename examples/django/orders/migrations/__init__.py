"""Steps of the database's layout."""
