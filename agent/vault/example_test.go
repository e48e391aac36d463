package vault_test

import (
	"fmt"
	"time"

	"offsite/agent/vault"
)

// Names and what they say are inverse.
func ExampleParse() {
	taken := time.Date(2026, 11, 22, 3, 0, 1, 0, time.UTC)
	n, err := vault.NewName("db-server", "sub/big", taken, "5f3c9a1e", "big.sql.gz")
	if err != nil {
		panic(err)
	}
	fmt.Println(n)
	fmt.Println(n.Manifest())
	again, err := vault.Parse(n.String())
	fmt.Println(again.Series, again.Taken.Format(time.RFC3339), again.File, err)
	// Output:
	// db-server/sub%2Fbig/20261122T030001Z_5f3c9a1e_big.sql.gz.age
	// db-server/sub%2Fbig/20261122T030001Z_5f3c9a1e_big.sql.gz.age.manifest
	// sub/big 2026-11-22T03:00:01Z big.sql.gz <nil>
}
