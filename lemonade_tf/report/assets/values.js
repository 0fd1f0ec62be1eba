"use strict";
// Elements, formatted values and axes. All text of a run is set as text, never as HTML.
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "circle", "rect", "line", "text", "polyline", "title"];
  const node = svg.includes(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"],
  [1e-6, "µ"], [1e-9, "n"]];

function engineering(value, unit) {
  if (value === 0) return `0 ${unit}`.trim();
  const rounded = Number(value.toPrecision(3));
  const [factor, prefix] = PREFIXES.find(([f]) => Math.abs(rounded) >= f) || [1e-12, "p"];
  const number = String(Number((rounded / factor).toPrecision(3)));
  return unit ? `${number} ${prefix}${unit}` : `${number}${prefix}`;
}

function percent(value, digits = 2) {
  return value === null || value === undefined ? "" : `${(100 * value).toFixed(digits)} %`;
}

function formatValue(objective, value) {
  if (objective.unit === "fraction") return percent(value);
  if (objective.unit) return engineering(value, objective.unit);
  return Math.abs(value) >= 1000 || Number.isInteger(value)
    ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}

function formatTick(objective, value) {
  if (objective.unit === "plain") return String(Number(value.toPrecision(3)));
  if (objective.unit === "fraction") return `${Number((100 * value).toPrecision(3))} %`;
  return engineering(value, objective.unit);
}

function duration(seconds) {
  if (seconds === null) return "-";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// The Wilson interval, as in runs/intervals.py.
function interval(error, images) {
  const square = 1.959964 ** 2 / images;
  const center = (error + square / 2) / (1 + square);
  const half = Math.sqrt(square * (error * (1 - error) + square / 4)) / (1 + square);
  return [Math.max(0, center - half), Math.min(1, center + half)];
}

// An axis: `at` maps a value to 0..1. On a log axis, values of at most 0 are drawn at the lower end.
function axis(objective, values, log) {
  const positive = values.filter(value => value > 0);
  const useLog = log && positive.length > 0;
  let low = Math.min(...(useLog ? positive : values)), high = Math.max(...values);
  if (!values.length) [low, high] = [0, 1];
  if (useLog && positive.length < values.length) low /= 2;
  if (low === high) [low, high] = useLog ? [low / 1.5, high * 1.5] : [low - 0.5, high + 0.5];
  const map = useLog ? Math.log : value => value;
  const margin = 0.05 * (map(high) - map(low)), start = map(low) - margin;
  const length = map(high) - map(low) + 2 * margin;
  const at = value => (useLog && value <= 0 ? 0.02 : (map(value) - start) / length);
  const labels = ticks(low, high, useLog).map(value => [value, formatTick(objective, value)]);
  const hasZero = useLog && positive.length < values.length;
  return { at, ticks: hasZero ? [[0, formatTick(objective, 0)], ...labels] : labels };
}

function ticks(low, high, log) {
  if (log) {
    for (const multiples of [[1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const multiple of multiples) found.push(multiple * 10 ** power);
      const inside = found.filter(value => value >= low * 0.999 && value <= high * 1.001);
      if (inside.length <= 7 && inside.length > 1) return inside;
    }
  }
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(k * step);
  return found;
}
