// Draws the maps: our own coastline, areas and vessels on canvas, without a single tile or foreign request.
//
// The world repeats every 360°. Areas come in one window of longitudes that cuts none of them, and everything is drawn
// once per copy of the world, so that nothing ends at the antimeridian.

const L = window.L;
const LAND = document.querySelector("script[data-land]").dataset.land;
const COPIES = [-360, 0, 360];
const REFRESH_MS = 5000;
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Vessels: a shape that points where the vessel does, or a dot where nobody knows -------------------------------

const Vessel = L.CircleMarker.extend({
  _updatePath() {
    const context = this._renderer._ctx;
    if (!this._renderer._drawing || this._empty()) return;
    const { heading, weight, color, fillColor, radius } = this.options;
    context.save();
    context.translate(this._point.x, this._point.y);
    context.beginPath();
    if (heading === null) {
      context.arc(0, 0, radius * 0.6, 0, 2 * Math.PI);
    } else {
      context.rotate((heading * Math.PI) / 180);
      context.moveTo(0, -radius * 1.25);
      context.lineTo(radius * 0.75, radius);
      context.lineTo(0, radius * 0.55);
      context.lineTo(-radius * 0.75, radius);
      context.closePath();
    }
    context.fillStyle = fillColor;
    context.fill();
    context.lineWidth = weight;
    context.strokeStyle = color;
    context.stroke();
    context.restore();
  },
});

function vesselStyle(vessel) {
  const inside = vessel.inside.length > 0;
  return {
    radius: inside ? 8 : 5.5,
    weight: vessel.silent ? 2 : 1,
    color: vessel.silent ? colour("--map-inside") : colour("--surface"),
    fillColor: vessel.silent ? colour("--surface") : inside ? colour("--map-inside") : colour("--map-vessel"),
    heading: vessel.heading,
  };
}

function vesselLabel(vessel) {
  const label = document.createElement("div");
  const name = document.createElement("strong");
  name.textContent = vessel.name || `MMSI ${vessel.mmsi}`;
  const facts = document.createElement("span");
  const speed = vessel.speed === null ? "" : `${vessel.speed.toFixed(1)} kn, `;
  facts.textContent = `${speed}${vessel.silent ? "silent since" : "last position"} ${new Date(vessel.time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  label.append(name, facts);
  return label;
}

// The ground -----------------------------------------------------------------------------------------------

// A ring that jumps from one side of ±180 to the other goes on beyond it instead.
function unwrapped(ring) {
  let turn = 0;
  const moved = ring.map(([lon, lat], at) => {
    const before = ring[at - 1];
    const alongPole = before && lat < -89 && before[1] < -89;
    if (before && !alongPole && Math.abs(lon - before[0]) > 180) turn += lon > before[0] ? -360 : 360;
    return [lon + turn, lat];
  });
  return turn === 0 ? moved : ring; // one that does not close goes around a pole
}

// The seam at ±180, along which the data's polygons are cut, is no coast.
function withoutSeam(ring) {
  const lines = [[]];
  for (let at = 0; at < ring.length; at += 1) {
    const [lon, lat] = ring[at];
    const before = ring[at - 1];
    const onSeam = before && Math.abs(lon) > 179.99 && Math.abs(before[0]) > 179.99;
    const onEdge = before && lat < -89 && before[1] < -89;
    if (onSeam || onEdge) lines.push([]);
    lines[lines.length - 1].push([lat, lon]);
  }
  return lines.filter((line) => line.length > 1);
}

async function addLand(map) {
  const topology = await (await fetch(LAND)).json();
  const land = window.topojson.feature(topology, topology.objects.land);
  const polygons = (land.features ?? [land]).flatMap(({ geometry }) =>
    geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates).map((rings) => rings.map(unwrapped));
  const coasts = polygons.flatMap((rings) => rings.flatMap(withoutSeam));
  const shared = { pane: "ground", renderer: L.canvas({ pane: "ground", padding: 0.3 }), interactive: false, smoothFactor: 1 };
  for (const copy of COPIES) {
    const moved = ([lat, lon]) => [lat, lon + copy];
    const fill = polygons.map((rings) => rings.map((ring) => ring.map(([lon, lat]) => [lat, lon + copy])));
    L.polygon(fill, { ...shared, stroke: false, fillOpacity: 1, fillColor: colour("--land") }).addTo(map);
    L.polyline(coasts.map((line) => line.map(moved)), { ...shared, weight: 0.8, color: colour("--coast") }).addTo(map);
  }
}

function newMap(element) {
  const map = L.map(element, {
    preferCanvas: true,
    attributionControl: false,
    zoomAnimation: !calm,
    fadeAnimation: !calm,
    inertia: !calm,
    minZoom: 1,
    maxZoom: 15,
    zoomSnap: 0.5,
    maxBounds: [[-85, -450], [85, 450]],
    maxBoundsViscosity: 1,
  });
  map.createPane("ground").style.zIndex = 250;
  map.createPane("vessels").style.zIndex = 450;
  L.control.scale({ imperial: false }).addTo(map);
  return map;
}

function addAreas(map, features) {
  const style = { color: colour("--map-area"), weight: 1.6, fillOpacity: 0.12, smoothFactor: 1 };
  for (const copy of COPIES) {
    const coordsToLatLng = ([lon, lat]) => L.latLng(lat, lon + copy);
    const layer = L.geoJSON(features, { style, coordsToLatLng }).addTo(map);
    layer.eachLayer((area) => {
      const name = document.createElement("span");
      name.textContent = area.feature.properties.name;
      area.bindTooltip(name, { sticky: true, className: "map-label" });
    });
  }
}

function boundsOf(box) {
  return L.latLngBounds([box[1], box[0]], [box[3], box[2]]);
}

// The live map ---------------------------------------------------------------------------------------------

class LiveMap {
  constructor(element) {
    this.element = element;
    this.map = newMap(element);
    this.renderer = L.canvas({ pane: "vessels", padding: 0.2 });
    this.markers = new Map();
    this.chosen = null;
  }

  async start() {
    this.map.setView([0, 180], 1.5);
    const areas = await (await fetch(this.element.dataset.areas)).json();
    if (areas.bbox) this.map.fitBounds(boundsOf(areas.bbox), { padding: [24, 24], maxZoom: 11, animate: false });
    await addLand(this.map);
    addAreas(this.map, areas.features);
    this.map.on("moveend", () => this.refresh());
    await this.refresh();
    if (!areas.bbox && this.markers.size) this.showAll();
    setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
    this.element.dataset.ready = "";
  }

  async refresh() {
    const view = this.map.getBounds().pad(0.2);
    const box = [view.getWest(), view.getSouth(), view.getEast(), view.getNorth()].map((part) => part.toFixed(4));
    const asked = (this.asked = Symbol("latest"));
    try {
      const answer = await fetch(`${this.element.dataset.vessels}?box=${box}`);
      if (!answer.ok) return;
      const { vessels } = await answer.json();
      if (asked === this.asked) this.draw(vessels); // an older answer came late
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault; // the network is away: the next round tries again
    }
  }

  draw(vessels) {
    const gone = new Set(this.markers.keys());
    for (const vessel of vessels) {
      gone.delete(vessel.mmsi);
      this.place(vessel);
    }
    for (const mmsi of gone) {
      this.markers.get(mmsi).remove();
      this.markers.delete(mmsi);
    }
  }

  place(vessel) {
    const at = this.near(vessel.lon, vessel.lat);
    let marker = this.markers.get(vessel.mmsi);
    if (!marker) {
      marker = new Vessel(at, { ...vesselStyle(vessel), renderer: this.renderer, pane: "vessels" }).addTo(this.map);
      marker.bindTooltip(() => vesselLabel(marker.vessel), { className: "map-label", direction: "top", offset: [0, -8] });
      this.markers.set(vessel.mmsi, marker);
    }
    marker.vessel = vessel;
    marker.setStyle(vesselStyle(vessel)).setRadius(vesselStyle(vessel).radius).setLatLng(at);
  }

  // The copy of the world that is nearest to what is looked at.
  near(lon, lat) {
    const centre = this.map.getCenter().lng;
    return [lat, lon + 360 * Math.round((centre - lon) / 360)];
  }

  show(mmsi) {
    const marker = this.markers.get(mmsi);
    if (!marker) return;
    this.map.panTo(marker.getLatLng(), { animate: !calm });
    marker.openTooltip();
  }

  point(mmsi) {
    this.markers.get(mmsi)?.openTooltip();
  }

  unpoint(mmsi) {
    this.markers.get(mmsi)?.closeTooltip();
  }

  showPlace(lon, lat) {
    const at = this.near(lon, lat);
    this.map.setView(at, Math.max(this.map.getZoom(), 7), { animate: !calm });
    this.ring?.remove();
    this.ring = L.circleMarker(at, { radius: 16, weight: 3, fill: false, color: colour("--map-inside"), interactive: false }).addTo(this.map);
  }

  showAll() {
    const places = [...this.markers.values()].map((marker) => marker.getLatLng());
    this.map.fitBounds(L.latLngBounds(places), { padding: [40, 40], maxZoom: 10, animate: false });
  }
}

function followLists(live) {
  const vesselOf = (event) => Number(event.target.closest?.("[data-vessel]")?.dataset.vessel);
  document.addEventListener("click", (event) => {
    const place = event.target.closest("[data-place]")?.dataset.place.split(",").map(Number);
    if (vesselOf(event)) live.show(vesselOf(event));
    if (place) live.showPlace(...place);
    if (vesselOf(event) || place) live.element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  });
  for (const kind of ["focusin", "mouseover"]) document.addEventListener(kind, (event) => live.point(vesselOf(event)));
  for (const kind of ["focusout", "mouseout"]) document.addEventListener(kind, (event) => live.unpoint(vesselOf(event)));
}

// Only what is new is read out, not the whole list every few seconds.
function announceEvents() {
  let newest = document.querySelector("[data-live]")?.dataset.newest;
  document.addEventListener("htmx:afterSwap", () => {
    const list = document.querySelector("[data-live]");
    if (!list || list.dataset.newest === newest) return;
    newest = list.dataset.newest;
    document.getElementById("said").textContent = list.dataset.newestTold;
  });
}

// The small map of one event -------------------------------------------------------------------------------

async function drawPlace(element) {
  const { areas, place, before } = JSON.parse(document.getElementById(element.dataset.placeSource).textContent);
  const map = newMap(element);
  map.scrollWheelZoom.disable();
  const [west, , east] = areas[0].bbox;
  const inWindow = (lon) => lon + 360 * Math.round(((west + east) / 2 - lon) / 360);
  const at = [place.lat, inWindow(place.lon)];
  map.setView(at, 7);
  map.fitBounds(boundsOf(areas[0].bbox).extend(at), { padding: [12, 12], maxZoom: 9, animate: false });
  await addLand(map);
  addAreas(map, areas);
  const line = { color: colour("--map-inside"), weight: 2, dashArray: "4 4", interactive: false };
  if (before) L.polyline([[before.lat, at[1] + shortest(before.lon - place.lon)], at], line).addTo(map);
  new Vessel(at, { ...vesselStyle({ inside: [0], heading: place.course ?? null }), pane: "vessels", renderer: L.canvas({ pane: "vessels" }) }).addTo(map);
  element.dataset.ready = "";
}

const shortest = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

const liveElement = document.querySelector('[data-map="live"]');
if (liveElement) {
  const live = new LiveMap(liveElement);
  followLists(live);
  announceEvents();
  live.start();
}
document.querySelectorAll('[data-map="place"]').forEach(drawPlace);
