package configs_test

import (
	"slices"
	"testing"

	"offsite/configs"
	"offsite/providers"
	"offsite/providers/minio"
	"offsite/providers/sftp"
)

func TestSecretsOfAConfiguration(t *testing.T) {
	target := configs.Target{SFTP: &sftp.Config{KeyFile: "/k", PasswordFile: "/p", KnownHosts: "/h"}}
	if got := target.SecretFiles(); !slices.Equal(got, []string{"/k", "/p"}) {
		t.Errorf("%q", got)
	}
	dsn := func(s string) *configs.Config {
		return &configs.Config{Drills: []configs.Drill{{Postgres: &configs.PostgresDrill{DSN: providers.NewSecret(s)}}}}
	}
	for _, c := range []struct {
		config *configs.Config
		want   bool
	}{
		{&configs.Config{Targets: []configs.Target{target}}, false},
		{&configs.Config{Targets: []configs.Target{{MinIO: &minio.Config{SecretKey: providers.NewSecret("x")}}}}, true},
		{&configs.Config{Targets: []configs.Target{{SFTP: &sftp.Config{Password: providers.NewSecret("x")}}}}, true},
		{dsn("postgres://drill@db/postgres"), false},
		{dsn("postgres://drill:x@db/postgres"), true},
		{dsn("host=db user=drill password=x"), true},
		{dsn("host=db user=drill"), false},
	} {
		if got := c.config.HoldsSecrets(); got != c.want {
			t.Errorf("%+v: %v", c.config, got)
		}
	}
}
