// Makes the databases that internal/store/upgradetest opens: a small organisation with
// sessions in every state, as the given program stores it. Run it with the program of a
// version before its successor changes the schema:
//
//	node scripts/make-dump.mjs PROGRAM VERSION [DATABASE-URL]
//
// With a PostgreSQL database, which must be empty, it needs pg_dump. What an agent of that
// version needs to go on (its credential, its last token) is written beside the dump.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const [program, version, database] = process.argv.slice(2)
if (!version) throw new Error('usage: make-dump.mjs PROGRAM VERSION [DATABASE-URL]')
const out = new URL('../internal/store/upgradetest/testdata/', import.meta.url).pathname
const dir = mkdtempSync(join(tmpdir(), 'dump'))
const url = 'http://127.0.0.1:18970'
const password = 'correct horse'
const server = spawn(program, ['server', '--listen', '127.0.0.1:18970', ...(database ? ['--database-url', database] : ['--data', dir])], {
  env: { ...process.env, LEASEHOLD_ADMIN_USER: 'root', LEASEHOLD_ADMIN_PASSWORD: password }, stdio: 'inherit',
})

const sleep = (ms) => new Promise((r) => setTimeout(r, ms))
async function call(method, path, body, token) {
  const r = await fetch(url + path, {
    method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...(token && { authorization: 'Bearer ' + token }) },
  })
  const text = await r.text()
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`)
  return text ? JSON.parse(text) : null
}

async function fill() {
  for (let i = 0; ; i++) {
    try { if ((await fetch(url + '/readyz')).ok) break } catch { /* it starts */ }
    if (i > 100) throw new Error('the server does not start')
    await sleep(100)
  }
  const token = (await call('POST', '/api/v1/tokens', { username: 'root', password })).token
  const api = (method, path, body) => call(method, '/api/v1' + path, body, token)
  const users = []
  for (const u of ['ann', 'Émile', 'émile', 'ИВАН', 'josé', 'jose\u0301', 'zoë']) {
    try {
      users.push(await api('POST', '/users', { username: u, name: u + ' Doe', email: 'x@example.org', password, role: 'user' }))
    } catch (e) { console.log('not made:', String(e)) }
  }
  const group = await api('POST', '/groups', { name: 'Ingénieurs', user_ids: users.map((u) => u.id) })
  const app = await api('POST', '/apps', { name: 'MATLAB', description: 'numbers' })
  const ecran = await api('POST', '/apps', { name: 'Écran' })
  const packages = [{ type: 'command', command: ['app'] }]
  const floating = await api('POST', '/delivery-methods', { app_id: app.id, name: 'MATLAB 2026', kind: 'device', licence: { type: 'floating', seats: 3 }, heartbeat_seconds: 3600, warnings_seconds: [120, 60], packages })
  const fixed = await api('POST', '/delivery-methods', { app_id: ecran.id, name: 'Écran', kind: 'device', licence: { type: 'fixed', offline_seconds: 864000, seats: 3 }, heartbeat_seconds: 3600, warnings_seconds: [120, 60], packages })
  await api('POST', '/provisions', { name: 'Everybody', user_ids: users.map((u) => u.id), group_ids: [group.id], delivery_method_ids: [floating.id, fixed.id], ends_at: '2126-01-01T00:00:00Z', enabled: true })
  const key = (await api('POST', '/enrolment-keys', { kind: 'player' })).key
  const agent = await call('POST', '/agent/v1/enrol', { v: 1, key, kind: 'player', name: 'LAB-1', os: 'linux', arch: 'amd64', version: '1' })
  const user = (await call('POST', '/api/v1/tokens', { username: 'ann', password })).token
  const launch = async (id) => {
    const l = await call('POST', '/api/v1/launches', { app_id: id }, user)
    await call('POST', '/agent/v1/redeem', { v: 1, ticket: new URL(l.link).searchParams.get('ticket') }, agent.credential)
    return l.session.id
  }
  const state = { number: 0, seq: 0, token: '', granted: 0, sessions: [] }
  const checkIn = async (observations) => {
    state.number++
    const at = new Date().toISOString()
    const a = await call('POST', '/agent/v1/check-in', {
      v: 1, number: state.number, ...(state.token && { token: state.token, granted: state.granted }), epoch: 1, complete: true,
      observations: observations.map((o) => ({ seq: ++state.seq, at, ...o })), sessions: state.sessions,
    }, agent.credential)
    if (a.token) { state.token = a.token; state.granted = state.number }
    return a
  }
  const begin = async (id, method, run) => {
    const s = { session: id, method, state: run ? 'running' : 'idle', ...(run && { run: 1, run_method: method, guard: true }) }
    state.sessions.push(s)
    await checkIn([{ session: id, type: 'added' }, ...(run ? [{ session: id, type: 'started', run: 1 }] : [])])
    if (run) Object.assign(s, { holds: true, seen: 1 })
    return id
  }
  const ids = {}
  ids.running = await begin(await launch(app.id), floating.id, true)
  ids.evicted = await begin(await launch(app.id), floating.id, true)
  ids.added = await begin(await launch(ecran.id), fixed.id, false)
  await api('POST', `/sessions/${ids.evicted}/evict`, { reason: 'exam' })
  ids.expired = await begin(await launch(app.id), floating.id, false)
  await api('POST', `/sessions/${ids.expired}/expire`, {})
  ids.launched = await launch(app.id)
  await call('POST', '/api/v1/launches', { app_id: ecran.id }, user)
  await api('POST', '/sessions/batch', { action: 'evict', filter: { q: 'matlab' }, dry_run: true })
  await sleep(2500) // last-seen times are written behind
  writeFileSync(join(out, `${version}-${database ? 'postgres' : 'sqlite'}.json`), JSON.stringify({ agent: agent.agent_id, credential: agent.credential, ...state, ids }, null, 1) + '\n')
}

try {
  await fill()
} finally {
  server.kill('SIGTERM')
  await new Promise((r) => server.on('exit', r))
}
const dump = database
  ? execFileSync('pg_dump', ['--no-owner', '--no-privileges', '--inserts', database]).toString().split('\n').filter((l) => !l.startsWith('\\')).join('\n')
  : readFileSync(join(dir, 'leasehold.db'))
writeFileSync(join(out, `${version}-${database ? 'postgres.sql' : 'sqlite.db'}.gz`), gzipSync(dump, { level: 9 }))
rmSync(dir, { recursive: true })
