package rules

import (
	"strings"
	"testing"
)

// FuzzFilter checks that parsing and evaluating never panic, and that what is printed parses again to the same tree.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"1=1", "color = 'red' AND NOT (count > 4 OR flag = TRUE)", "[a]]b] LIKE '5!%' ESCAPE '!'",
		"sys.Label IN ('a', @text) AND EXISTS(user.x)", "-(1 + 2.5E3) % 7 <> p('count')", "a IS NOT NULL", "newid() = id",
		"a NOT LIKE '%_%' OR b NOT IN (1, NULL)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		condition, err := parseFilter(sql, parameters)
		if err != nil {
			return
		}
		_, _ = condition.test(sample()) // an evaluation error is a fine answer
		printed := text(condition)
		again, err := parseFilter(printed, parameters)
		if err != nil {
			// Parentheses and delimiters make the text longer and deeper.
			if strings.Contains(err.Error(), "at most") || strings.Contains(err.Error(), "nest") {
				return
			}
			t.Fatalf("%q prints as %q: %v", sql, printed, err)
		}
		if second := text(again); second != printed {
			t.Errorf("%q prints as %q, and that as %q", sql, printed, second)
		}
	})
}

// FuzzAction does the same for actions.
func FuzzAction(f *testing.F) {
	for _, s := range []string{"SET a = 1", "SET sys.Label = color + '!'; REMOVE [b c]", "set x=newid();remove y;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		statements, err := parseAction(sql, parameters)
		if err != nil {
			return
		}
		m := sample()
		for _, s := range statements {
			if s.apply(m) != nil {
				break
			}
		}
		var b strings.Builder
		for _, s := range statements {
			s.print(&b)
			b.WriteString("; ")
		}
		again, err := parseAction(b.String(), parameters)
		if err != nil {
			if strings.Contains(err.Error(), "at most") || strings.Contains(err.Error(), "nest") {
				return
			}
			t.Fatalf("%q prints as %q: %v", sql, b.String(), err)
		}
		var second strings.Builder
		for _, s := range again {
			s.print(&second)
			second.WriteString("; ")
		}
		if second.String() != b.String() {
			t.Errorf("%q prints as %q, and that as %q", sql, b.String(), second.String())
		}
	})
}
