package configs

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"offsite/providers"
	"offsite/providers/dir"
	"offsite/providers/minio"
	"offsite/providers/s3"
	"offsite/providers/sftp"
)

// PlaceForms are the forms of ParsePlace, for messages.
const PlaceForms = "a directory, s3://bucket/prefix (AWS), s3+https://host:port/bucket/prefix (MinIO and others) or sftp://user@host:port/path"

// retentions are what retention may be on a target.
var retentions = []string{"enforce", "report", "off"}

// ParsePlace reads a target that is written in one line, as PlaceForms says. The path of sftp:// is below the
// directory that the login leads to; sftp://user@host//path is absolute. After a question mark every key of the
// kind's configuration can follow (?region=eu-central-1&storage_class=STANDARD_IA), and retention; more holds further ones of
// the kind; secrets only as files. The target has no name yet, and its files are resolved as those of a configuration.
func ParsePlace(s string, more url.Values) (Target, error) {
	t, query, err := parsePlace(s)
	if err != nil {
		return Target{}, err
	}
	if query.Has("retention") {
		t.Retention = query.Get("retention")
		if !slices.Contains(retentions, t.Retention) {
			return Target{}, fmt.Errorf("%s: retention: %q should be %s", s, t.Retention, strings.Join(retentions, ", "))
		}
		query.Del("retention")
	}
	for key, k := range t.kinds() {
		for _, values := range []url.Values{query, more} {
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if err := setKey(k, name, values[name]); err != nil {
					return Target{}, fmt.Errorf("%s: %s: %w", s, key, err)
				}
			}
		}
		var missing error
		resolveFiles(k, "", func(name, path string) {
			absolute, err := filepath.Abs(path)
			if err != nil {
				missing = err
				return
			}
			fileKeys(k)[name].SetString(absolute)
		})
		if missing != nil {
			return Target{}, missing
		}
		if err := k.Validate(); err != nil {
			return Target{}, fmt.Errorf("%s: %w", s, err)
		}
	}
	return t, nil
}

func parsePlace(s string) (Target, url.Values, error) {
	scheme, _, isURL := strings.Cut(s, "://")
	if !isURL {
		path, err := filepath.Abs(s)
		return Target{Dir: &dir.Config{Path: path}}, nil, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return Target{}, nil, fmt.Errorf("%s: write %s", s, PlaceForms)
	}
	if _, has := u.User.Password(); has {
		return Target{}, nil, fmt.Errorf("%s: a password in an address shows in the list of processes; write ?password_file=/path", u.Redacted())
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Target{}, nil, fmt.Errorf("%s: %w", s, err)
	}
	path := strings.Trim(u.Path, "/")
	switch scheme {
	case "s3":
		return Target{S3: &s3.Config{Bucket: u.Host, Prefix: path}}, query, nil
	case "s3+https", "s3+http":
		bucket, prefix, _ := strings.Cut(path, "/")
		return Target{MinIO: &minio.Config{Endpoint: strings.TrimPrefix(scheme, "s3+") + "://" + u.Host, Bucket: bucket, Prefix: prefix}}, query, nil
	case "sftp":
		c := &sftp.Config{Host: u.Hostname(), User: u.User.Username(), Path: strings.TrimPrefix(u.Path, "/")}
		if u.Port() != "" {
			c.Port, err = strconv.Atoi(u.Port())
		}
		return Target{SFTP: c}, query, err
	}
	return Target{}, nil, fmt.Errorf("%s: write %s", s, PlaceForms)
}

// place is where a target's objects lie: a store, and an absolute path in it; "" if it has none.
func (t Target) place() (store, path string) {
	bucket := func(endpoint, bucket, prefix string) (string, string) {
		if bucket == "" {
			return "", ""
		}
		return "s3:" + strings.TrimSuffix(strings.ToLower(endpoint), "/"), strings.Join([]string{"", bucket, strings.Trim(prefix, "/")}, "/")
	}
	switch {
	case t.Dir != nil && t.Dir.Path != "":
		return "dir", filepath.Clean(t.Dir.Path)
	case t.MinIO != nil:
		return bucket(t.MinIO.Endpoint, t.MinIO.Bucket, t.MinIO.Prefix)
	case t.S3 != nil:
		return bucket(t.S3.Endpoint, t.S3.Bucket, t.S3.Prefix)
	case t.SFTP != nil:
		port := cmp.Or(t.SFTP.Port, 22)
		store = fmt.Sprintf("sftp:%s:%d", strings.ToLower(t.SFTP.Host), port)
		if filepath.IsAbs(t.SFTP.Path) {
			return store, filepath.Clean(t.SFTP.Path)
		}
		return store + " " + t.SFTP.User, filepath.Join("/", t.SFTP.Path) // below where the login leads
	}
	return "", ""
}

// setKey sets one key of a kind from text.
func setKey(k kind, name string, values []string) error {
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") != name {
			continue
		}
		field, text := v.Field(i), values[len(values)-1]
		switch field.Interface().(type) {
		case providers.Secret:
			return fmt.Errorf("%s: a secret in a command shows in the list of processes; write %s_file=/path", name, name)
		case encoding.TextUnmarshaler:
			return field.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		case string:
			field.SetString(text)
		case []string:
			field.Set(reflect.ValueOf(values))
		case bool:
			b, err := strconv.ParseBool(text)
			field.SetBool(b)
			return err
		case int:
			n, err := strconv.Atoi(text)
			field.SetInt(int64(n))
			return err
		case *providers.Lock:
			field.Set(reflect.ValueOf(&providers.Lock{Mode: text}))
		case time.Duration:
			d, err := time.ParseDuration(text)
			field.SetInt(int64(d))
			return err
		default:
			return fmt.Errorf("%s cannot be set here", name)
		}
		return nil
	}
	return fmt.Errorf("has no %s", name)
}

// YAML is the target as it is written in a configuration, indented by two spaces. Secrets that are values are left out.
func (t Target) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n", t.Name)
	if t.Retention != "" {
		fmt.Fprintf(&b, "    retention: %s\n", t.Retention)
	}
	for name, k := range t.kinds() {
		fmt.Fprintf(&b, "    %s:\n", name)
		v := reflect.ValueOf(k).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			key := v.Type().Field(i).Tag.Get("yaml")
			switch value := v.Field(i).Interface().(type) {
			case providers.Secret:
			case string:
				fmt.Fprintf(&b, "      %s: %q\n", key, value)
			case []string:
				fmt.Fprintf(&b, "      %s:\n", key)
				for _, s := range value {
					fmt.Fprintf(&b, "        - %q\n", s)
				}
			case *providers.Lock:
				fmt.Fprintf(&b, "      %s: {mode: %s}\n", key, value.Mode)
			default:
				fmt.Fprintf(&b, "      %s: %v\n", key, value)
			}
		}
	}
	return b.String()
}
