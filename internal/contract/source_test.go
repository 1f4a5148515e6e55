package contract

import "testing"

func TestSourcesAreReadAsOperatorsWriteThem(t *testing.T) {
	known := []Source{{Queue: "a/b"}, {Topic: "Orders", Subscription: "fno"}}
	for name, want := range map[string]Source{
		"in":                       {Queue: "in"},
		"in/$DeadLetterQueue":      {Queue: "in"},
		"/in/":                     {Queue: "in"},
		"t/s":                      {Topic: "t", Subscription: "s"},
		"t/Subscriptions/s":        {Topic: "t", Subscription: "s"},
		"x/t/subscriptions/s":      {Topic: "x/t", Subscription: "s"},
		"A/B":                      known[0],
		"orders/FNO":               known[1],
		"orders/subscriptions/fno": known[1],
		"a/b/c":                    {Queue: "a/b/c"},
		"orders/Subscriptions/fno/$DeadLetterQueue": known[1],
	} {
		if got, err := ParseSource(name, known...); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "/"} {
		if _, err := ParseSource(name); err == nil {
			t.Errorf("%q is a source", name)
		}
	}
}

func TestASourceHasOneName(t *testing.T) {
	queue, subscription := Source{Queue: "in"}, Source{Topic: "t", Subscription: "s"}
	if queue.String() != "in" || subscription.String() != "t/s" {
		t.Errorf("%s, %s", queue, subscription)
	}
	if queue.Target() != "in" || subscription.Target() != "t" {
		t.Errorf("%s, %s", queue.Target(), subscription.Target())
	}
	for name, want := range map[string]bool{"t/s": true, "T/S": true, "t/Subscriptions/s": true, "t": false, "s": false, "": false} {
		if subscription.Is(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	if !queue.Is("IN") || queue.Is("") || queue.Is("/Subscriptions/") {
		t.Error("the queue is known by another name")
	}
}
