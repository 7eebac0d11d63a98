"""What a worker imports: ``skirret -A serve worker``."""

from reports import create_app

app = create_app().extensions["skirret"]
