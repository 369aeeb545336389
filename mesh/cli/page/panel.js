// The panel of a host or a pair. Whatever comes from hosts becomes text of a node, never markup.

const findings = (mesh, wanted) =>
  all(mesh.section, ".finding").filter((each) => wanted(each.dataset.host, each.dataset.peer)).map((each) => {
    const copy = each.cloneNode(true);
    copy.removeAttribute("id");
    copy.hidden = false;
    return copy;
  });
const goes = (words, mesh, from, to) => {
  const link = make("a", words, "go");
  link.href = `#${mesh.name}/${name(mesh, from)}`;
  link.dataset.host = name(mesh, from);
  if (to !== undefined) link.dataset.peer = name(mesh, to);
  link.dataset.mesh = mesh.name;
  return link;
};

const hostPanel = (mesh, number) => {
  const [own, , , state] = mesh.hosts[number];
  const parts = [make("h2", own)];
  const lead = make("p", "", "lead");
  lead.append(make("span", state.replace("-", " "), "state", state), ` in ${mesh.name}`);
  parts.push(lead, ...findings(mesh, (host, peer) => host === own || peer === own));
  parts.push(make("h3", "Known of it"), mesh.details[number].querySelector("dl").cloneNode(true));
  if (number < mesh.states.length) {
    const list = make("ul", "", "list");
    const peers = mesh.hosts.map((_, peer) => peer).filter((peer) => letter(mesh, number, peer) !== "." && peer !== number);
    peers.sort((one, other) => WORST.indexOf(letter(mesh, number, one)) - WORST.indexOf(letter(mesh, number, other)) || one - other);
    for (const peer of peers) {
      const item = make("li");
      const mean = mesh.directions[number][peer]?.[7];
      const state = letter(mesh, number, peer);
      item.append(goes(name(mesh, peer), mesh, number, peer), " ",
        make("small", "ur".includes(state) && mean != null ? millis(mean) : data.states[state].replace("-", " ")));
      list.append(item);
    }
    parts.push(make("h3", "What it sees of its peers"), list);
  }
  return parts;
};
const pairPanel = (mesh, one, other) => {
  const [here, there] = [name(mesh, one), name(mesh, other)];
  const title = make("h2");
  title.append(goes(here, mesh, one), " and ", goes(there, mesh, other));
  const own = findings(mesh, (host, peer) => [here, there].includes(host) && [here, there, ""].includes(peer));
  const parts = [title, make("p", `in ${mesh.name}`, "lead"), ...own];
  for (const [from, to] of [[one, other], [other, one]]) {
    if (from >= mesh.states.length) continue;
    const head = make("h3", `${name(mesh, from)} → ${name(mesh, to)}`);
    const lines = told(mesh, from, to);
    const first = make("p");
    first.append(badge(letter(mesh, from, to)), ` ${lines[0]}`);
    parts.push(head, first, ...lines.slice(1).map((line) => make("p", line)));
  }
  return parts;
};
