package dynamics

// TryEnter gives a pass if the gate is open and a slot is free right now, with nobody waiting; else nil. It never waits.
func (g *Gate) TryEnter() *Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != GateOpen || len(g.waiting) > 0 || g.used >= g.slots {
		return nil
	}
	g.used++
	return &Pass{gate: g}
}
