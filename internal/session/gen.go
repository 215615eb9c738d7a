package session

//go:generate go run leasehold/internal/tools/statemachine -out ../../docs/state-machine.md
