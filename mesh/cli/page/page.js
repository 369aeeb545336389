// The page is complete without a script: this adds the panel, marks, the filter, keys, and asking for a newer page.

const sections = all(document, "section.mesh");
const meshes = data.meshes.map((mesh, number) => ({
  ...mesh,
  section: sections[number],
  table: sections[number].querySelector("table.matrix"),
  details: all(sections[number], ".hosts details"),
  dots: new Map(all(sections[number], ".dot").map((dot) => [Number(dot.dataset.number), dot])),
  numbers: new Map(mesh.hosts.map((host, place) => [host[0], place])),
}));
const panel = $("panel");
// What is open: a mesh, a host in it, and perhaps its peer.
let open = null;
let closing = null;

// What is pointed at where the pointer is nowhere.
const opened = (mesh) => open?.[0] === mesh && open[2] !== undefined && open[1] < mesh.states.length ? open.slice(1) : [null, null];

const show = (mesh, from, to) => {
  open = mesh ? [mesh, from, to] : null;
  panel.hidden = !open;
  document.body.classList.toggle("open", !!open);
  meshes.forEach((each) => { if (each !== mesh) rays(each, null); });
  if (open) {
    $("content").replaceChildren(...(to === undefined || to === from ? hostPanel(mesh, from) : pairPanel(mesh, from, to)));
    panel.scrollTop = 0;
    rays(mesh, from);
    point(mesh, ...opened(mesh));
  }
  remember();
};
// What was clicked stays where it is, though the panel takes room.
const visit = (mesh, from, to, target) => {
  if (panel.hidden) closing = document.activeElement;
  const before = target?.getBoundingClientRect().top;
  show(mesh, from, to);
  if (target?.isConnected) window.scrollBy(0, target.getBoundingClientRect().top - before);
  panel.focus({ preventScroll: true });
};
const close = () => {
  show(null);
  closing?.focus?.({ preventScroll: true });
};

// The filter, which leaves rows of hosts; columns too, where both ends are to pass.
const fields = ["text", "site", "tag", "state"].map($).filter(Boolean);
const value = (id) => $(id)?.value.trim() ?? "";
const passes = (mesh, number) => {
  const [, site, tags, state] = mesh.hosts[number];
  const faulty = () => "faulty" in mesh.details[number].dataset || ["drifted", "unreachable"].includes(state)
    || /[sk]/.test(mesh.states[number] ?? "");
  return (!value("site") || site === value("site")) && (!value("tag") || tags.includes(value("tag")))
    && (!value("state") || (value("state") === "faulty" ? faulty() : state === value("state")))
    && (!value("text") || mesh.details[number].textContent.toLowerCase().includes(value("text").toLowerCase()));
};
const filter = () => {
  let [shown, known] = [0, 0];
  const active = fields.some((field) => field.value);
  for (const mesh of meshes) {
    const keeps = mesh.hosts.map((_, number) => passes(mesh, number));
    const columns = mesh.hosts.map((_, number) => keeps[number] || !$("both").checked);
    shown += keeps.filter(Boolean).length;
    known += keeps.length;
    mesh.details.forEach((each, number) => { each.hidden = !keeps[number]; });
    mesh.dots.forEach((dot, number) => dot.classList.toggle("out", !keeps[number]));
    [mesh.table.tHead.rows[0], ...mesh.table.tBodies[0].rows].forEach((row, place) => {
      if (place) row.hidden = !keeps[place - 1];
      if (!row.hidden) for (let number = 0; number < columns.length; number += 1) row.cells[number + 1].hidden = !columns[number];
    });
    all(mesh.section, ".findings .finding").forEach((each) => {
      const concerned = [each.dataset.host, each.dataset.peer].filter(Boolean).map((own) => mesh.numbers.get(own));
      each.hidden = active && concerned.length > 0 && !concerned.some((number) => keeps[number]);
    });
    point(mesh, null, null);
  }
  $("count").textContent = active ? `${shown} of ${known}` : "";
  $("clear").hidden = !active;
  remember();
};

// What is open and filtered is in the address, so that it stays when the page is renewed.
const remember = () => {
  const kept = new URLSearchParams();
  if (open) kept.set("at", [open[0].name, name(open[0], open[1]), ...(open[2] === undefined ? [] : [name(open[0], open[2])])].join("/"));
  fields.forEach((field) => { if (field.value) kept.set(field.id, field.value); });
  if ($("both").checked) kept.set("both", "1");
  history.replaceState(null, "", `#${kept}`);
};
const recall = () => {
  const words = decodeURIComponent(location.hash.slice(1));
  const kept = new URLSearchParams(words.includes("=") ? location.hash.slice(1) : { at: words });
  fields.forEach((field) => { field.value = kept.get(field.id) ?? ""; });
  $("both").checked = kept.has("both");
  filter();
  const [of, ...ends] = (kept.get("at") ?? "").split("/");
  const mesh = meshes.find((each) => each.name === of);
  const [from, to] = ends.map((own) => mesh?.numbers.get(own));
  if (from !== undefined) show(mesh, from, to);
};

const themes = ["system", "light", "dark"];
const dress = (theme) => {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `theme: ${theme}`;
};
const worn = () => document.documentElement.dataset.theme ?? "system";
const redress = () => {
  dress(themes[(themes.indexOf(worn()) + 1) % themes.length]);
  try { localStorage.setItem("mesh-theme", worn()); } catch { /* a browser that keeps nothing */ }
};

let fault = -1;
const nextFault = (step) => {
  const shown = all(document, ".findings .finding").filter((each) => !each.hidden);
  if (!shown.length) return;
  fault = (fault + step + shown.length) % shown.length;
  all(document, ".finding.flash").forEach((each) => each.classList.remove("flash"));
  shown[fault].classList.add("flash");
  shown[fault].scrollIntoView({ block: "center" });
  shown[fault].focus({ preventScroll: true });
};

const move = (mesh, key) => {
  const rows = [...mesh.table.tBodies[0].rows].flatMap((row, number) => (row.hidden ? [] : [number]));
  const columns = [...mesh.table.tHead.rows[0].cells].slice(1).flatMap((head, number) => (head.hidden ? [] : [number]));
  if (!rows.length || !columns.length) return;
  const [row, column] = mesh.cursor ?? [rows[0], columns[0]];
  const along = (list, at, step) => list[Math.max(0, Math.min(list.length - 1, Math.max(0, list.indexOf(at)) + step))];
  const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[key];
  const upright = key === "ArrowUp" || key === "ArrowDown";
  point(mesh, along(rows, row, upright ? step : 0), along(columns, column, upright ? 0 : step));
  mesh.bands[2].scrollIntoView({ block: "nearest", inline: "nearest" });
};

for (const mesh of meshes) {
  const area = mesh.table.parentNode;
  // Not when it is the page that moves.
  let last = null;
  area.addEventListener("pointermove", (event) => {
    const place = placeOf(mesh, event.target);
    if (place && event.target !== last) point(mesh, ...place);
    last = event.target;
  });
  area.addEventListener("pointerleave", () => {
    last = null;
    point(mesh, ...opened(mesh));
  });
  area.addEventListener("click", (event) => {
    const place = placeOf(mesh, event.target);
    if (!place) return;
    const [row, column] = place;
    if (row === null || column === null) visit(mesh, row ?? column, undefined, event.target);
    else visit(mesh, row, column, event.target);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow")) move(mesh, event.key);
    else if (event.key === "Enter" && mesh.cursor) visit(mesh, ...mesh.cursor);
    else return;
    event.preventDefault();
  });
  mesh.dots.forEach((dot, number) => {
    dot.addEventListener("click", () => visit(mesh, number, undefined, dot));
    dot.addEventListener("pointerenter", () => rays(mesh, number));
    dot.addEventListener("pointerleave", () => rays(mesh, open?.[0] === mesh ? open[1] : null));
  });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.go");
  if (!link) return;
  event.preventDefault();
  const of = link.dataset.mesh ?? meshes[link.closest("section")?.dataset.mesh]?.name ?? open?.[0].name;
  const mesh = meshes.find((each) => each.name === of);
  const [from, to] = [link.dataset.host, link.dataset.peer].map((own) => mesh?.numbers.get(own));
  if (from !== undefined) visit(mesh, from, to, link);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, select");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (open) close();
  } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    if (event.key === "/") $("text").focus();
    else if (event.key === "n" || event.key === "p") nextFault(event.key === "n" ? 1 : -1);
    else if (event.key === "t") redress();
    else return;
    event.preventDefault();
  }
});
$("close").addEventListener("click", close);
$("theme").addEventListener("click", redress);
$("filter").addEventListener("input", filter);
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  $("filter").reset();
  filter();
});
window.addEventListener("hashchange", recall);

const made = Date.parse(data.made);
const age = () => {
  const seconds = Math.max(0, (Date.now() - made) / 1000);
  $("age").textContent = `, ${span(seconds)} ago`;
  $("made").parentNode.classList.toggle("old", seconds > Math.max(3600, 3 * data.every));
};
const renew = async () => {
  try {
    const answer = await fetch("made", { cache: "no-store" });
    if (answer.ok && (await answer.text()) !== data.made) location.reload();
  } catch {
    $("age").textContent += "; its server does not answer";
  }
};

all(document, ".script").forEach((each) => { each.hidden = false; });
try { dress(localStorage.getItem("mesh-theme") ?? "system"); } catch { dress("system"); }
age();
setInterval(age, 5000);
if (data.every) setInterval(renew, Math.min(data.every, 10) * 1000);
recall();
