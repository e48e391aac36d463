package systemd

import (
	"testing"
	"time"
)

// The service as a machine has it, from its installation to its removal, under the systemd that runs the machine.
func TestTheServiceUnderSystemd(t *testing.T) {
	begin := time.Now()
	w := newWorld(t)
	said := func(what string) { t.Helper(); t.Logf("%3.0f s: %s", time.Since(begin).Seconds(), what) }
	said("booted")
	w.sh("mkdir -p %s %s; echo secret > /home/statex/secret; echo secret > /root/secret", dumps, nas)
	w.configure("")
	w.livesWithoutPackage()
	said("lived without the package")
	w.isRoots()

	w.isInstalled()
	w.isTight()
	said("the package is installed")
	w.shipsToEveryTarget()
	w.drills()
	w.showsItself()
	w.tellsOfTrouble()
	w.seesNothingElse()
	said("every feature works in the sandbox")
	w.seesLateMounts()
	said("sees what is mounted")
	w.sharesWithRoot()
	said("gets along with root")
	w.drillsWithASealedKey()
	w.reloads()
	w.isKilled()
	w.isGivenUp()
	said("recovers")
	w.reboots()
	said("goes on after a reboot")
	w.isUpgraded()
	said("goes on after an upgrade")
	w.stops()
	w.isRemoved()
	w.isPurged()
	said("is gone")
}
