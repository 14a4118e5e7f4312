<link rel="stylesheet" href="{{base}}/static/style.css"><h1>bottle</h1><a href="{{base}}/notes">notes</a>
