// What the server says of the session, as viewer.go has it.
import { serverSays } from "../times";
import { path } from "./dom";

export interface Message {
  n: number;
  from: string;
  text: string;
  at: string;
}

export interface State {
  phase: "starting" | "live" | "ended";
  title: string;
  text: string;
  ends_at: string | null;
  idle_at: string | null;
  clipboard: boolean;
  waits: string;
  messages: Message[];
  now: string;
}

/** Nobody is signed in any more, or it is somebody else. */
export class SignedOut extends Error {}
/** There is no such session of this person. */
export class Gone extends Error {}

export async function ask(method: "GET" | "POST" = "GET"): Promise<State> {
  const response = await fetch(method === "GET" ? `${path}/state` : `${path}/end`, {
    method, credentials: "same-origin", headers: { "HX-Request": "true", Accept: "application/json" }, redirect: "error",
    signal: AbortSignal.timeout(15_000),
  });
  if (response.status === 401) throw new SignedOut();
  if (response.status === 404) throw new Gone();
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const state = (await response.json()) as State;
  serverSays(state.now);
  return state;
}
