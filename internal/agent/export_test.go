package agent

// SetHook has every write to the state folder ask hook before and after; an error stands
// for a crash there.
func (c *Config) SetHook(hook func(at string) error) { c.hook = hook }
