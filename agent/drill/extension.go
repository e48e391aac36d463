package drill

import (
	"context"
	"fmt"
)

// creatable says whether a role without rights may create an extension; nothing: the server does not have it. (Before PostgreSQL 13
// there are no trusted ones.)
const creatable = `SELECT bool_or(NOT superuser OR coalesce((to_jsonb(v) ->> 'trusted')::boolean, false)) FROM pg_available_extension_versions v WHERE name = %s;`

// extension says whether the statement that creates an extension is to be passed on.
func (a *attempt) extension(ctx context.Context, database, name string, early bool) (bool, error) {
	may, err := a.query(ctx, database, fmt.Sprintf(creatable, literal(name)))
	switch {
	case err != nil:
		return false, err
	case may == "t":
		return true, nil
	case may == "":
		return false, setup(fmt.Errorf("the dump needs the extension %s, which is not installed on the server of the drill", name))
	}
	a.left["extension "+name] = 0
	return false, nil
}
