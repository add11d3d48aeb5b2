"""The catalogue's database: tables, migrations and the queries on them. The only package that imports sqlmodel."""
