// Package disasters re-enacts what happens to databases, on a host that is laid out as a user's is: a PostgreSQL server in a container, its
// data on a volume, a script that cron calls each night, and offsite, the built program, with a directory, MinIO, versitygw and OpenSSH as
// targets. Each disaster ends with the database back, row for row (a sum over the rows of every table is compared), or with an
// alarm at a real receiver of webhooks. docs/disasters.md has the table that the test prints.
package disasters
