package storetest

import (
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// watched notes which methods a test calls.
type watched struct {
	store.Tx
	s *suite
}

func (w watched) saw(method string) {
	w.s.mu.Lock()
	w.s.called[method] = true
	w.s.mu.Unlock()
}

// LeaseNow notes the call, as all the methods below do.
func (w watched) LeaseNow() lease.Now {
	w.saw("LeaseNow")
	return w.Tx.LeaseNow()
}

func (w watched) WallNow() time.Time {
	w.saw("WallNow")
	return w.Tx.WallNow()
}

func (w watched) TryLockSession(a0 int64) (*session.Session, error) {
	w.saw("TryLockSession")
	return w.Tx.TryLockSession(a0)
}

func (w watched) Resort(a0 store.Scope, a1, a2 int64, a3 int) (int64, error) {
	w.saw("Resort")
	return w.Tx.Resort(a0, a1, a2, a3)
}

func (w watched) RestoreHold(a0 int64) (lease.Time, lease.Time, error) {
	w.saw("RestoreHold")
	return w.Tx.RestoreHold(a0)
}

func (w watched) ExtendRestoreHold(a0 int64, a1 lease.Time) error {
	w.saw("ExtendRestoreHold")
	return w.Tx.ExtendRestoreHold(a0, a1)
}

func (w watched) CreateSession(a0 *session.Session) error {
	w.saw("CreateSession")
	return w.Tx.CreateSession(a0)
}

func (w watched) Session(a0 int64) (*session.Session, error) {
	w.saw("Session")
	return w.Tx.Session(a0)
}

func (w watched) LockSession(a0 int64) (*session.Session, error) {
	w.saw("LockSession")
	return w.Tx.LockSession(a0)
}

func (w watched) SessionsOfAgent(a0 int64) ([]*session.Session, error) {
	w.saw("SessionsOfAgent")
	return w.Tx.SessionsOfAgent(a0)
}

func (w watched) TryLockSessionsOfAgent(a0 int64, a1 []int64) ([]*session.Session, []int64, error) {
	w.saw("TryLockSessionsOfAgent")
	return w.Tx.TryLockSessionsOfAgent(a0, a1)
}

func (w watched) LockSessionsOfAgent(a0 int64, a1 []int64) ([]*session.Session, error) {
	w.saw("LockSessionsOfAgent")
	return w.Tx.LockSessionsOfAgent(a0, a1)
}

func (w watched) SaveSession(a0 *session.Session, a1 *session.Session) error {
	w.saw("SaveSession")
	return w.Tx.SaveSession(a0, a1)
}

func (w watched) Superseded(a0 int64, a1 int64, a2 int64, a3 int64) ([]*session.Session, error) {
	w.saw("Superseded")
	return w.Tx.Superseded(a0, a1, a2, a3)
}

func (w watched) UserSessions(a0 int64, a1 int) ([]*session.Session, error) {
	w.saw("UserSessions")
	return w.Tx.UserSessions(a0, a1)
}

func (w watched) TakeSeat(a0 int64, a1 int64, a2 int) (bool, error) {
	w.saw("TakeSeat")
	return w.Tx.TakeSeat(a0, a1, a2)
}

func (w watched) SeatsTaken(a0 int64) (int, error) {
	w.saw("SeatsTaken")
	return w.Tx.SeatsTaken(a0)
}

func (w watched) LeasesOver(a0 int64, a1 int, a2 int) (ids []int64, next int64, err error) {
	w.saw("LeasesOver")
	return w.Tx.LeasesOver(a0, a1, a2)
}

func (w watched) OrdersDue(a0 int) ([]int64, error) {
	w.saw("OrdersDue")
	return w.Tx.OrdersDue(a0)
}

func (w watched) Messages(a0 int64) ([]session.Message, error) {
	w.saw("Messages")
	return w.Tx.Messages(a0)
}

func (w watched) Transitions(a0 int64) ([]session.Transition, error) {
	w.saw("Transitions")
	return w.Tx.Transitions(a0)
}

func (w watched) ListSessions(a0 store.SessionQuery) (store.SessionPage, error) {
	w.saw("ListSessions")
	return w.Tx.ListSessions(a0)
}

func (w watched) CountSessions(a0 store.SessionQuery, a1 int) (n int, exact bool, err error) {
	w.saw("CountSessions")
	return w.Tx.CountSessions(a0, a1)
}

func (w watched) SessionRows(a0 []int64) ([]store.SessionRow, error) {
	w.saw("SessionRows")
	return w.Tx.SessionRows(a0)
}

func (w watched) CreateAgent(a0 *store.Agent) error {
	w.saw("CreateAgent")
	return w.Tx.CreateAgent(a0)
}

func (w watched) Agent(a0 int64) (*store.Agent, error) {
	w.saw("Agent")
	return w.Tx.Agent(a0)
}

func (w watched) LockAgent(a0 int64) (*store.Agent, error) {
	w.saw("LockAgent")
	return w.Tx.LockAgent(a0)
}

func (w watched) SaveAgent(a0 *store.Agent) error {
	w.saw("SaveAgent")
	return w.Tx.SaveAgent(a0)
}

func (w watched) DeleteAgent(a0 int64) error {
	w.saw("DeleteAgent")
	return w.Tx.DeleteAgent(a0)
}

func (w watched) ListAgents(a0 wire.AgentKind, a1 string, a2 store.Page) ([]*store.Agent, string, error) {
	w.saw("ListAgents")
	return w.Tx.ListAgents(a0, a1, a2)
}

func (w watched) RecordDevice(a0 int64, a1 int64, a2 time.Time) error {
	w.saw("RecordDevice")
	return w.Tx.RecordDevice(a0, a1, a2)
}

func (w watched) Hosts(a0 string, a1 int64, a2 lease.Time) ([]store.HostLoad, error) {
	w.saw("Hosts")
	return w.Tx.Hosts(a0, a1, a2)
}

func (w watched) StreamsDue(a0 lease.Time, a1 int) ([]int64, error) {
	w.saw("StreamsDue")
	return w.Tx.StreamsDue(a0, a1)
}

func (w watched) AddTunnel(a0 *store.Tunnel) error {
	w.saw("AddTunnel")
	return w.Tx.AddTunnel(a0)
}

func (w watched) Tunnels(a0 int64) ([]store.Tunnel, error) {
	w.saw("Tunnels")
	return w.Tx.Tunnels(a0)
}

func (w watched) TakeTunnel(a0 int64, a1 string) (*store.Tunnel, error) {
	w.saw("TakeTunnel")
	return w.Tx.TakeTunnel(a0, a1)
}

func (w watched) PeopleOf(a0 int64) ([]wire.Person, error) {
	w.saw("PeopleOf")
	return w.Tx.PeopleOf(a0)
}

func (w watched) ForgetDevice(a0 int64, a1 int64) error {
	w.saw("ForgetDevice")
	return w.Tx.ForgetDevice(a0, a1)
}

func (w watched) DevicesOf(a0 int64) ([]*store.Agent, error) {
	w.saw("DevicesOf")
	return w.Tx.DevicesOf(a0)
}

func (w watched) CreateApp(a0 *catalog.App) error {
	w.saw("CreateApp")
	return w.Tx.CreateApp(a0)
}

func (w watched) App(a0 int64) (*catalog.App, error) {
	w.saw("App")
	return w.Tx.App(a0)
}

func (w watched) SaveApp(a0 *catalog.App) error {
	w.saw("SaveApp")
	return w.Tx.SaveApp(a0)
}

func (w watched) ListApps(a0 string, a1 store.Page) ([]*catalog.App, string, error) {
	w.saw("ListApps")
	return w.Tx.ListApps(a0, a1)
}

func (w watched) CreateDeliveryMethod(a0 *catalog.DeliveryMethod) error {
	w.saw("CreateDeliveryMethod")
	return w.Tx.CreateDeliveryMethod(a0)
}

func (w watched) DeliveryMethod(a0 int64) (*catalog.DeliveryMethod, error) {
	w.saw("DeliveryMethod")
	return w.Tx.DeliveryMethod(a0)
}

func (w watched) SaveDeliveryMethod(a0 *catalog.DeliveryMethod) error {
	w.saw("SaveDeliveryMethod")
	return w.Tx.SaveDeliveryMethod(a0)
}

func (w watched) ListDeliveryMethods(a0 int64, a1 string, a2 store.Page) ([]*catalog.DeliveryMethod, string, error) {
	w.saw("ListDeliveryMethods")
	return w.Tx.ListDeliveryMethods(a0, a1, a2)
}

func (w watched) DeliveryMethodsOf(a0 int64) ([]*catalog.DeliveryMethod, error) {
	w.saw("DeliveryMethodsOf")
	return w.Tx.DeliveryMethodsOf(a0)
}

func (w watched) CreateUser(a0 *directory.User) error {
	w.saw("CreateUser")
	return w.Tx.CreateUser(a0)
}

func (w watched) User(a0 int64) (*directory.User, error) {
	w.saw("User")
	return w.Tx.User(a0)
}

func (w watched) UserByName(a0 string) (*directory.User, error) {
	w.saw("UserByName")
	return w.Tx.UserByName(a0)
}

func (w watched) SaveUser(a0 *directory.User) error {
	w.saw("SaveUser")
	return w.Tx.SaveUser(a0)
}

func (w watched) ListUsers(a0 string, a1 store.Page) ([]*directory.User, string, error) {
	w.saw("ListUsers")
	return w.Tx.ListUsers(a0, a1)
}

func (w watched) CountAdmins() (int, error) {
	w.saw("CountAdmins")
	return w.Tx.CountAdmins()
}

func (w watched) CreateGroup(a0 *directory.Group) error {
	w.saw("CreateGroup")
	return w.Tx.CreateGroup(a0)
}

func (w watched) Group(a0 int64) (*directory.Group, error) {
	w.saw("Group")
	return w.Tx.Group(a0)
}

func (w watched) SaveGroup(a0 *directory.Group) error {
	w.saw("SaveGroup")
	return w.Tx.SaveGroup(a0)
}

func (w watched) DeleteGroup(a0 int64) error {
	w.saw("DeleteGroup")
	return w.Tx.DeleteGroup(a0)
}

func (w watched) ListGroups(a0 string, a1 store.Page) ([]*directory.Group, string, error) {
	w.saw("ListGroups")
	return w.Tx.ListGroups(a0, a1)
}

func (w watched) CreateProvision(a0 *directory.Provision) error {
	w.saw("CreateProvision")
	return w.Tx.CreateProvision(a0)
}

func (w watched) Provision(a0 int64) (*directory.Provision, error) {
	w.saw("Provision")
	return w.Tx.Provision(a0)
}

func (w watched) SaveProvision(a0 *directory.Provision) error {
	w.saw("SaveProvision")
	return w.Tx.SaveProvision(a0)
}

func (w watched) DeleteProvision(a0 int64) error {
	w.saw("DeleteProvision")
	return w.Tx.DeleteProvision(a0)
}

func (w watched) ListProvisions(a0 string, a1 store.Page) ([]*directory.Provision, string, error) {
	w.saw("ListProvisions")
	return w.Tx.ListProvisions(a0, a1)
}

func (w watched) ProvisionsFor(a0 int64, a1 int64) ([]*directory.Provision, error) {
	w.saw("ProvisionsFor")
	return w.Tx.ProvisionsFor(a0, a1)
}

func (w watched) Version() (int64, error) {
	w.saw("Version")
	return w.Tx.Version()
}

func (w watched) WebSession(a0 string) (data []byte, ok bool, err error) {
	w.saw("WebSession")
	return w.Tx.WebSession(a0)
}

func (w watched) SaveWebSession(a0 string, a1 []byte, a2 time.Time) error {
	w.saw("SaveWebSession")
	return w.Tx.SaveWebSession(a0, a1, a2)
}

func (w watched) DeleteWebSession(a0 string) error {
	w.saw("DeleteWebSession")
	return w.Tx.DeleteWebSession(a0)
}

func (w watched) DeleteExpired() error {
	w.saw("DeleteExpired")
	return w.Tx.DeleteExpired()
}

func (w watched) LockSigningKeys() ([]store.SigningKey, error) {
	w.saw("LockSigningKeys")
	return w.Tx.LockSigningKeys()
}

func (w watched) RetireSigningKey(a0 string) error {
	w.saw("RetireSigningKey")
	return w.Tx.RetireSigningKey(a0)
}

func (w watched) DeleteSigningKey(a0 string) error {
	w.saw("DeleteSigningKey")
	return w.Tx.DeleteSigningKey(a0)
}

func (w watched) SigningKeys() ([]store.SigningKey, error) {
	w.saw("SigningKeys")
	return w.Tx.SigningKeys()
}

func (w watched) AddSigningKey(a0 store.SigningKey) error {
	w.saw("AddSigningKey")
	return w.Tx.AddSigningKey(a0)
}

func (w watched) Setting(a0 string) (string, error) {
	w.saw("Setting")
	return w.Tx.Setting(a0)
}

func (w watched) SetSetting(a0 string, a1 string) error {
	w.saw("SetSetting")
	return w.Tx.SetSetting(a0, a1)
}

func (w watched) AddDenial(a0 store.Denial) error {
	w.saw("AddDenial")
	return w.Tx.AddDenial(a0)
}

func (w watched) Denials(a0 int64, a1 int) ([]store.Denial, error) {
	w.saw("Denials")
	return w.Tx.Denials(a0, a1)
}

func (w watched) SeatHolders(a0 int64, a1 int64, a2 int) ([]int64, error) {
	w.saw("SeatHolders")
	return w.Tx.SeatHolders(a0, a1, a2)
}

func (w watched) MatchingIDs(a0 store.SessionQuery, a1 int64, a2 int) ([]int64, error) {
	w.saw("MatchingIDs")
	return w.Tx.MatchingIDs(a0, a1, a2)
}

func (w watched) ProvisionsTurned(a0 time.Time, a1 time.Time) ([]int64, error) {
	w.saw("ProvisionsTurned")
	return w.Tx.ProvisionsTurned(a0, a1)
}

func (w watched) DenialsOf(a0 int64, a1 int64, a2 int) ([]store.Denial, error) {
	w.saw("DenialsOf")
	return w.Tx.DenialsOf(a0, a1, a2)
}

func (w watched) CountDenials(a0 int64, a1 time.Time) (int, error) {
	w.saw("CountDenials")
	return w.Tx.CountDenials(a0, a1)
}
