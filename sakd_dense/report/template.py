"""HTML template of the report; a string, so that every installation of the package has it."""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: SAKD report</title>
<style>
  :root { color-scheme: light; }
  body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; margin: 0 auto; padding: 1rem;
         max-width: 70rem; overflow-wrap: anywhere; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
  .answer { border-left: .3rem solid #009e73; padding: .2rem 1rem; background: #f3f8f6; }
  .figures { display: grid; gap: 1rem;
             grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
  figure { margin: 0; } figcaption { font-size: .85rem; color: #555; }
  svg, img { width: 100%; height: auto; display: block; }
  figure > svg { max-width: 46rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
           white-space: nowrap; }
  pre { overflow-x: auto; background: #f6f6f6; padding: .7rem; font-size: .75rem; line-height: 1.35;
        overflow-wrap: normal; }
  .samples { display: grid; gap: .5rem; margin-bottom: 1rem;
             grid-template-columns: repeat(auto-fit, minmax(min(45%, 9rem), 1fr)); }
  li { font-size: .85rem; } summary { cursor: pointer; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<div class="answer">{% for sentence in answer %}<p>{{ sentence }}</p>{% endfor %}</div>

<h2>Accuracy against T</h2>
<div class="figures">
<figure id="accuracy">{{ accuracy|safe }}</figure>
<div class="scroll"><table>
<tr><th>T</th>{% for c in columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
</div>

<h2>Accuracy against energy</h2>
<div class="figures">
{% for svg in paretos %}<figure class="pareto">{{ svg|safe }}</figure>
{% endfor %}</div>
{% if others %}<p>Compared with {{ others|map(attribute="name")|join(", ") }}.</p>{% endif %}

<h2>Energy by part</h2>
<pre>{{ energy }}</pre>
{% if estimates %}<p>With memory, by SpikingJelly's estimators:</p>
<pre>{{ estimates }}</pre>{% endif %}

<h2>Firing rates</h2>
<figure id="rates">{{ heat|safe }}</figure>

{% if losses %}<h2>Losses</h2>
<figure id="losses">{{ losses|safe }}<figcaption>Solid: the terms of level 2.</figcaption></figure>
{% endif %}

{% if pictures %}<h2>Samples</h2>
{% for row in pictures %}<div class="samples">
{% for name, jpeg in row %}<figure><img alt="{{ name }}" src="data:image/jpeg;base64,{{ jpeg }}">
<figcaption>{{ name }}</figcaption></figure>
{% endfor %}</div>
{% endfor %}{% endif %}

<h2>How it was measured</h2>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
<details><summary>Every layer at the largest T</summary><pre>{{ layers }}</pre></details>

<h2>Where it comes from</h2>
<div class="scroll"><table>
<tr><td>checkpoint</td><td>{{ run.checkpoint }}</td></tr>
<tr><td>teacher</td><td>{{ run.teacher or "file not found" }}</td></tr>
<tr><td>measured</td><td>{{ run.sweep.date }}, {{ run.sweep.images }} images</td></tr>
{% for name, version in versions.items() %}<tr><td>{{ name }}</td><td>{{ version }}</td></tr>
{% endfor %}</table></div>
{% for name, command in commands.items() %}<p>{{ name }}:</p><pre>{{ command }}</pre>{% endfor %}
<details><summary>The whole config</summary><pre>{{ config }}</pre></details>
</body>
</html>
"""
