package mem_test

import (
	"slices"
	"testing"

	"offsite/providers"
	"offsite/providers/mem"
	"offsite/providers/targettest"
)

func TestContract(t *testing.T) {
	store := mem.New()
	targettest.Run(t, targettest.Config{
		Open:  func(testing.TB) providers.Target { return store.Handle() },
		Block: 100,
		Leftovers: func(_ testing.TB, name string) []string {
			return slices.DeleteFunc(append(store.Leftovers(), store.Preserved()...), func(n string) bool { return n != name })
		},
	})
}
