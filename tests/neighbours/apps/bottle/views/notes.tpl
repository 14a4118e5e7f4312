<form method="post"><input type="hidden" name="token" value="{{token}}"><input name="text"></form>{{count}} by you<ul>
% for one in notes:
<li>{{one}}</li>
% end
</ul>
