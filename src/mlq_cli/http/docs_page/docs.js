// Shows /openapi.json. All text goes through textContent: nothing of the document is ever markup.
"use strict";

const KEY = "mlq.token";

function make(name, text, ...children) {
  const element = document.createElement(name);
  if (text !== null && text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

function plain(text) {
  return (text || "").replaceAll("`", "");
}

function named(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(named).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "array") return `list of ${named(schema.items) || "anything"}`;
  const limits = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "maxLength"];
  const said = limits.filter((name) => name in schema).map((name) => `${name} ${schema[name]}`);
  return [schema.type || "any", ...said].join(", ");
}

function table(titles, rows) {
  const head = make("tr", null, ...titles.map((title) => make("th", title)));
  const body = rows.map((row) => make("tr", null, ...row.map((cell) => make("td", cell))));
  return make("table", null, make("thead", null, head), make("tbody", null, ...body));
}

function properties(schema) {
  const required = new Set(schema.required || []);
  return table(
    ["field", "type", "meaning"],
    Object.entries(schema.properties || {}).map(([name, one]) => [
      required.has(name) ? `${name} (required)` : name, named(one), plain(one.description),
    ]),
  );
}

function operation(api, method, path, about) {
  const section = make("section", null);
  const title = make("h3", null, make("span", method.toUpperCase()), make("span", path), make("span", ""));
  title.children[0].className = "method";
  title.children[1].className = "path";
  title.id = about.operationId;
  section.append(title, make("p", plain(about.description || about.summary)));
  if (about.parameters?.length) {
    section.append(table(
      ["parameter", "in", "type", "meaning"],
      about.parameters.map((one) => [
        one.required ? `${one.name} (required)` : one.name, one.in, named(one.schema), plain(one.description),
      ]),
    ));
  }
  const body = about.requestBody?.content?.["application/json"]?.schema;
  for (const one of body ? body.oneOf || [body] : []) {
    const model = one.$ref ? api.components.schemas[named(one)] : one;
    section.append(make("p", `Body: ${named(one)}, as application/json`), properties(model));
    for (const example of model.examples || []) section.append(make("pre", JSON.stringify(example)));
  }
  const answers = Object.entries(about.responses).map(([status, one]) => {
    const content = Object.entries(one.content || {}).map(([type, media]) => `${type} ${named(media.schema)}`.trim());
    return [status, plain(one.description), content.join("; ")];
  });
  const good = answers.filter(([status]) => status < "400");
  section.append(table(["status", "meaning", "content"], good));
  section.append(make("details", null, make("summary", "problems"),
    table(["status", "meaning", "content"], answers.filter(([status]) => status >= "400"))));
  return section;
}

function show(api) {
  document.getElementById("about").textContent = `${plain(api.info.description)} Version ${api.info.version}.`;
  const contents = make("ul", null);
  const routes = document.getElementById("routes");
  routes.replaceChildren();
  for (const tag of api.tags) {
    routes.append(make("h2", tag.name), make("p", plain(tag.description)));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, about] of Object.entries(methods)) {
        if (!about.tags?.includes(tag.name)) continue;
        const link = make("a", `${method.toUpperCase()} ${path}`);
        link.href = `#${about.operationId}`;
        contents.append(make("li", null, link));
        routes.append(operation(api, method, path, about));
      }
    }
  }
  routes.append(make("h2", "what comes and goes"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    if (!schema.properties) continue;
    routes.append(make("h3", name), make("p", plain(schema.description)), properties(schema));
  }
  document.getElementById("contents").replaceChildren(contents);
}

async function load() {
  const token = sessionStorage.getItem(KEY);
  const answer = await fetch("openapi.json", { headers: token ? { authorization: `Bearer ${token}` } : {} });
  const form = document.getElementById("token");
  form.hidden = answer.status !== 401;
  if (answer.ok) return show(await answer.json());
  document.getElementById("about").textContent =
    answer.status === 401 ? "This server asks for a token." : `The server answers ${answer.status}.`;
}

document.getElementById("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, new FormData(event.target).get("token"));
  load();
});
load();
