package configs

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"offsite/providers"
)

// kind is a provider's part of a target.
type kind interface{ Validate() error }

// kinds are those that the target sets, by their keys.
func (t Target) kinds() map[string]kind {
	set := map[string]kind{}
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		if k, ok := v.Field(i).Interface().(kind); ok && !v.Field(i).IsNil() {
			set[v.Type().Field(i).Tag.Get("yaml")] = k
		}
	}
	return set
}

// kindNames are the keys of all kinds.
func kindNames() (names []string) {
	for f := range reflect.TypeFor[Target]().Fields() {
		if f.Type.Implements(reflect.TypeFor[kind]()) {
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	return names
}

// fileKeys are the keys of a kind that name a file, with their values.
func fileKeys(k kind) map[string]reflect.Value {
	files := map[string]reflect.Value{}
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if (strings.HasSuffix(key, "_file") || key == "known_hosts") && v.Field(i).String() != "" {
			files[key] = v.Field(i)
		}
	}
	return files
}

// Files are the files that the target reads: secrets, certificates, known hosts.
func (t Target) Files() (paths []string) {
	for _, k := range t.kinds() {
		for _, v := range fileKeys(k) {
			paths = append(paths, v.String())
		}
	}
	slices.Sort(paths)
	return paths
}

// resolveFiles gives every relative file of a kind its place in systemd's credentials directory (see systemd.exec(5),
// "CREDENTIALS"), and every one that is named where the units have their credentials from; missing is called for each when there is no such
// directory. With a root, all files are below it.
func resolveFiles(k kind, root string, missing func(key, path string)) {
	for key, v := range fileKeys(k) {
		switch credentials, name := credentialsDirectory(), credentialName(v.String()); {
		case root != "":
			v.SetString(filepath.Join(root, filepath.Join("/", v.String()))) // no .. leads out
		case filepath.IsAbs(name):
		case credentials != "":
			v.SetString(filepath.Join(credentials, name))
		case !filepath.IsAbs(v.String()):
			missing(key, v.String())
		}
	}
}

// CredentialStore is where the secrets lie that the units of the service get as credentials.
const CredentialStore = "/etc/offsite/credentials"

// credentialName is the name of a file as a credential. One that is named by its path in the store is one, too: the service sees no store, but
// gets what `offsite install` finds there.
func credentialName(file string) string {
	if filepath.Dir(file) == CredentialStore {
		return strings.TrimSuffix(filepath.Base(file), ".cred") // which a sealed one has there
	}
	return file
}

// credentialsDirectory is systemd's for a unit; for a person who tries something it is the one that the units have their credentials from;
// empty: there is none.
func credentialsDirectory() string {
	if directory := os.Getenv("CREDENTIALS_DIRECTORY"); directory != "" {
		return directory
	}
	if info, err := os.Stat(CredentialStore); err == nil && info.IsDir() {
		return CredentialStore
	}
	return ""
}

// SecretFiles are those of Files that hold secrets.
func (t Target) SecretFiles() (paths []string) {
	for _, k := range t.kinds() {
		for key, v := range fileKeys(k) {
			if key != "ca_file" && key != "known_hosts" {
				paths = append(paths, v.String())
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// HoldsSecrets says whether the configuration has a secret as a value, not in a file of its own.
func (c *Config) HoldsSecrets() bool {
	for _, d := range c.Drills {
		if d.Postgres != nil && hasPassword(d.Postgres.DSN.Reveal()) {
			return true
		}
	}
	for _, t := range c.Targets {
		for _, k := range t.kinds() {
			for _, value := range reflect.ValueOf(k).Elem().Fields() {
				if s, ok := value.Interface().(providers.Secret); ok && s.IsSet() {
					return true
				}
			}
		}
	}
	return false
}

// hasPassword says whether a PostgreSQL connection string has one.
func hasPassword(dsn string) bool {
	if strings.Contains(dsn, "password=") {
		return true
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return strings.Contains(dsn, "://")
	}
	_, has := u.User.Password()
	return has
}
