package agent

import (
	"fmt"

	"offsite/agent/status"
)

// Untaken has it told, for as long as this agent runs, that the configuration was changed and that the changed one is not in use, and why:
// whoever has changed it believes in what it says.
func (a *Agent) Untaken(why error) {
	a.untaken.Store(&status.Alarm{
		Key: "config", Kind: status.KindConfig, Level: status.Problem, Since: a.Now().UTC(),
		Text:   fmt.Sprintf("the changed configuration is not in use, the agent goes on with the one of before: %v", why),
		Remedy: "mend it, or take the change back; then `systemctl reload offsite`, or SIGHUP",
	})
	a.changed.ring()
	a.hurry()
}

// untakenTroubles is that, if it is so.
func (a *Agent) untakenTroubles() []status.Alarm {
	if told := a.untaken.Load(); told != nil {
		return []status.Alarm{*told}
	}
	return nil
}
