package configs

import "reflect"

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
