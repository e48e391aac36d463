package drill

import "testing"

func TestExpect(t *testing.T) {
	for _, c := range []struct {
		expect, got, last string
		want              bool
	}{
		{"> 100", "101", "", true}, {"> 100", "100", "", false}, {">100", " 1e3\n", "", true}, {"> 100", "", "", false}, {"> 100", "many", "", false},
		{">= 90% of last", "90", "100", true}, {">= 90% of last", "89", "100", false}, {">= 90 % of the last drill", "1", "", true},
		{"not less than 90 % of the last drill", "89.9", "100", false}, {"not more than 110% of last", "111", "100", false},
		{"= yes", "yes", "", true}, {"= yes", "no", "", false}, {"!= no", "yes", "", true}, {"== 3", "3.0", "", true}, {"<> 3", "3", "", false},
		{"<= 5", "5", "", true}, {"< 5", "5", "", false},
	} {
		e, err := ParseExpect(c.expect)
		if err != nil || e.Holds(c.got, c.last) != c.want || e.String() != c.expect {
			t.Errorf("%q of %q (last %q): want %v (%v)", c.expect, c.got, c.last, c.want, err)
		}
	}
	for _, bad := range []string{"", "100", "> many", ">", "about 5", ">= lots % of last"} {
		if e, err := ParseExpect(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, e)
		}
	}
	if (Expect{}).Holds("", "") || !(Expect{}).Holds("x", "") {
		t.Error("the zero Expect wants any value")
	}
}

func FuzzParseExpect(f *testing.F) {
	f.Add("> 100", "5", "6")
	f.Add(">= 90% of last", "", "x")
	f.Fuzz(func(t *testing.T, text, got, last string) {
		if e, err := ParseExpect(text); err == nil {
			e.Holds(got, last)
		}
	})
}
