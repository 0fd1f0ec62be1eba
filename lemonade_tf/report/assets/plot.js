// The front: a plot of two objectives that works by mouse, touch and keyboard.
const WIDTH = 860, HEIGHT = 460, LEFT = 74, RIGHT = 14, TOP = 10, BOTTOM = 48;

function drawPlot(page) {
  const { data, view } = page;
  const narrow = window.innerWidth < 640;
  const width = narrow ? 430 : WIDTH, height = narrow ? 380 : HEIGHT;
  const [first, second] = [page.objective(view.x), page.objective(view.y)];
  const shown = view.all ? data.ids.map((_, i) => i) : data.front;
  const x = axis(first, shown.map(i => data.values[view.x][i]), view.logX);
  const images = data.images[view.y];
  const ends = images ? data.front.flatMap(i => interval(data.values[view.y][i], images)).filter(v => v > 0) : [];
  const y = axis(second, [...shown.map(i => data.values[view.y][i]), ...ends], view.logY);
  const toX = i => LEFT + (width - LEFT - RIGHT) * x.at(data.values[view.x][i]);
  const yAt = value => height - BOTTOM - (height - TOP - BOTTOM) * y.at(value);
  const toY = i => yAt(data.values[view.y][i]);
  const picture = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `Front: ${second.title} against ${first.title}. Arrow keys move along the front, `
      + "Enter shows a network." });
  for (const [value, label] of x.ticks) {
    const at = LEFT + (width - LEFT - RIGHT) * x.at(value);
    picture.append(element("line", { class: "grid", x1: at, x2: at, y1: TOP, y2: height - BOTTOM }),
      element("text", { x: at, y: height - BOTTOM + 18, "text-anchor": "middle" }, label));
  }
  for (const [value, label] of y.ticks) {
    const at = yAt(value);
    picture.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
      element("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, label));
  }
  picture.append(
    element("text", { x: (LEFT + width) / 2, y: height - 8, "text-anchor": "middle" }, first.title),
    element("text", { x: 14, y: height / 2, "text-anchor": "middle",
      transform: `rotate(-90 14 ${height / 2})` }, second.title));
  // One path for all networks, so that thousands of them stay smooth.
  if (view.all) picture.append(element("path", { class: "dots", "aria-hidden": "true",
    d: shown.map(i => `M${toX(i).toFixed(1)} ${toY(i).toFixed(1)}h0`).join("") }));
  picture.append(element("path", { class: "stairs", d: stairs(page, toX, toY), "aria-hidden": "true" }));
  if (images) for (const i of data.front) {
    const [low, high] = interval(data.values[view.y][i], images);
    picture.append(element("line", { class: "bar", x1: toX(i), x2: toX(i),
      y1: Math.min(yAt(low), height - BOTTOM), y2: Math.max(TOP, yAt(high)) }));
  }
  addPoints(page, picture, toX, toY);
  addHover(page, picture, shown, toX, toY, width);
  return picture;
}

// The networks that are not dominated in the two objectives of the plot.
function stairs(page, toX, toY) {
  const { data, view } = page;
  const order = [...data.front].sort((a, b) => data.values[view.x][a] - data.values[view.x][b]
    || data.values[view.y][a] - data.values[view.y][b]);
  let best = Infinity, path = "";
  for (const i of order) {
    if (data.values[view.y][i] >= best) continue;
    best = data.values[view.y][i];
    path += path ? `H${toX(i).toFixed(1)}V${toY(i).toFixed(1)}` : `M${toX(i)} ${toY(i)}`;
  }
  return path;
}

function addPoints(page, picture, toX, toY) {
  const { data, view } = page;
  const order = [...data.front].sort((a, b) => data.values[view.x][a] - data.values[view.x][b]);
  const points = order.map((i, number) => {
    const chosen = data.ids[i] === view.selected;
    return element("circle", { class: `point${chosen ? " chosen" : ""}${page.fits(i) ? "" : " off"}`,
      cx: toX(i).toFixed(1), cy: toY(i).toFixed(1), r: chosen ? 9 : 7, role: "button",
      tabindex: chosen || (number === 0 && !data.front.some(k => data.ids[k] === view.selected)) ? 0 : -1,
      "aria-label": page.describe(i).replaceAll("\n", ", "), "data-focus": `point-${data.ids[i]}`,
      "aria-current": chosen ? "true" : null,
      onclick: () => page.select(data.ids[i]),
      onfocus: () => page.tip(i, toX(i), toY(i)), onblur: () => page.tip(null),
      onkeydown: event => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (step && points[number + step]) points[number + step].focus();
        else if (event.key === "Home") points[0].focus();
        else if (event.key === "End") points[points.length - 1].focus();
        else if (event.key === "Enter" || event.key === " ") page.select(data.ids[i]);
        else return;
        event.preventDefault();
      } });
  });
  picture.append(...points);
}

function addHover(page, picture, shown, toX, toY, width) {
  const places = shown.map(i => [i, toX(i), toY(i)]);
  const front = new Set(page.data.front);
  const nearest = event => {
    const area = picture.getBoundingClientRect(), scale = width / area.width;
    const [px, py] = [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
    let best = null, least = 15 ** 2;
    for (const [i, x, y] of places) {
      // Of networks that overlap, the one on the front is meant.
      const distance = (x - px) ** 2 + (y - py) ** 2 - (front.has(i) ? 30 : 0);
      if (distance < least) [best, least] = [[i, x, y], distance];
    }
    return best;
  };
  picture.addEventListener("pointermove", event => page.tip(...(nearest(event) || [null])));
  picture.addEventListener("pointerleave", () => page.tip(null));
  picture.addEventListener("click", event => {
    const found = nearest(event);
    if (found && event.target.getAttribute("role") !== "button") page.select(page.data.ids[found[0]]);
  });
}

// Lines over equally spaced steps: training curves, the hypervolume.
function lineChart(series, title, log = false) {
  const all = series.flatMap(([values]) => values);
  const scale = axis({ unit: "plain" }, all, log);
  const picture = element("svg", { viewBox: "0 0 420 180", role: "img", "aria-label": title });
  for (const [value, label] of scale.ticks) {
    const at = 160 - 150 * scale.at(value);
    picture.append(element("line", { class: "grid", x1: 56, x2: 412, y1: at, y2: at }),
      element("text", { x: 50, y: at + 4, "text-anchor": "end" }, label));
  }
  for (const [values, kind] of series) {
    const step = 350 / Math.max(1, values.length - 1);
    picture.append(element("polyline", { class: `curve ${kind}`, points: values.map(
      (v, k) => `${(58 + k * step).toFixed(1)},${(160 - 150 * scale.at(v)).toFixed(1)}`).join(" ") }));
    if (values.length === 1)
      picture.append(element("circle", { class: "point", cx: 58, cy: 160 - 150 * scale.at(values[0]), r: 4 }));
  }
  return picture;
}
