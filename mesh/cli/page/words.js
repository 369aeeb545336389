// What a host sees of a peer, in sentences.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const all = (where, what) => [...where.querySelectorAll(what)];
// What is told first.
const WORST = "skrucm.";

const make = (tag, words, ...classes) => {
  const node = document.createElement(tag);
  if (words) node.textContent = words;
  if (classes.length) node.classList.add(...classes);
  return node;
};
const name = (mesh, number) => mesh.hosts[number][0];
const letter = (mesh, from, to) => mesh.states[from]?.[to] ?? ".";
const bytes = (count) => {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  const step = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return step ? `${(count / 1000 ** step).toFixed(1)} ${units[step]}` : `${count} bytes`;
};
const span = (seconds) =>
  seconds < 120 ? `${Math.round(seconds)} s`
    : seconds < 7200 ? `${Math.round(seconds / 60)} min`
      : seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
const millis = (time) => `${time.toFixed(1)} ms`;

const told = (mesh, from, to) => {
  const [here, there] = [name(mesh, from), name(mesh, to)];
  const seen = mesh.directions[from]?.[to];
  const state = letter(mesh, from, to);
  const lines = [{
    u: `${here} reaches ${there}.`,
    r: `${here} reaches ${there} ${seen?.[0]}, the relay.`,
    s: `${there} does not answer ${here}.`,
    k: `What ${here} sees of ${there} is not known.`,
    c: `${here} and ${there} cannot meet: neither has an endpoint for the other, and no relay joins them.`,
    m: `${there} is not managed here, so nobody pings it.`,
    ".": `${there} is no peer of ${here}.`,
  }[state]];
  if (!seen || state === "c") return lines;
  const [endpoint, age, received, sent, pings, came, least, mean, most, largest] = seen;
  if (pings && came) lines.push(`${came} of ${pings} pings were answered, in ${millis(mean)} (${millis(least)} to ${millis(most)}).`);
  if (pings && !came) lines.push(`None of ${pings} pings was answered.`);
  if (came && largest) {
    lines.push(largest >= mesh.mtu ? `Packets of full size pass, ${mesh.mtu} bytes.`
      : `Packets of up to ${largest} bytes pass, and the MTU is ${mesh.mtu}.`);
  }
  if (state === "r" || state === "k") return lines;
  const planned = mesh.hosts[to][4];
  if (endpoint) {
    const as = endpoint === planned ? ", as planned" : planned ? `; the plan has ${planned}` : ", from where it last spoke";
    lines.push(`It sends to ${endpoint}${as}.`);
  } else lines.push("It has no endpoint for it, and waits to be spoken to.");
  lines.push(age === null ? "There was no handshake so far." : `The latest handshake was ${span(age)} before this was asked.`);
  lines.push(`It has sent ${bytes(sent)} and received ${bytes(received)}.`);
  return lines;
};
const badge = (state) => make("span", data.states[state]?.replace("-", " ") ?? "no peers", "word", state === "." ? "n" : state);
