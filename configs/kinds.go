package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// kind is a provider's part of a target.
type kind interface{ Validate() error }

// kinds are those that the target sets, by their keys.
func (t *Target) kinds() map[string]kind {
	set := map[string]kind{}
	v := reflect.ValueOf(t).Elem()
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

// resolveFiles gives every relative *_file value of a kind its place in systemd's credentials directory (see
// systemd.exec(5), "CREDENTIALS"); missing is called for each when there is no such directory.
func resolveFiles(k kind, missing func(key, path string)) {
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if !strings.HasSuffix(key, "_file") || v.Field(i).String() == "" || filepath.IsAbs(v.Field(i).String()) {
			continue
		}
		credentials := os.Getenv("CREDENTIALS_DIRECTORY")
		if credentials == "" {
			missing(key, v.Field(i).String())
			continue
		}
		v.Field(i).SetString(filepath.Join(credentials, v.Field(i).String()))
	}
}
