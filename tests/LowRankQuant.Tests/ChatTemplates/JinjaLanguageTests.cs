using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Macros, loops, assignments and expressions. The texts that are expected are those of Jinja 3.1.6 with Transformers' settings.</summary>
public class JinjaLanguageTests
{
    [Theory]
    [InlineData("{% macro f(a, b=a, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1,2) }}{{ f(b=3) }}{{ f() }}{{ f(c=1,a=2) }}{{ f(1,missing) }}{{ f(none) }}", "{}", "[11x][12x][3x][x][221][1x][NoneNonex]")]
    [InlineData("{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% set x = 2 %}{{ f() }}{% for x in [7] %}{{ f() }}{{ x }}{% endfor %}", "{}", "227")]
    [InlineData("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{}", "543210")]
    [InlineData("{% macro a(n) %}{{ b(n) }}{% endmacro %}{% macro b(n) %}<{{ n }}>{% endmacro %}{{ a(1) }}", "{}", "<1>")]
    [InlineData("{% for i in [1,2] %}{% macro f(x) %}{{ i }}{{ x }}{{ loop.index }}{% endmacro %}{{ f('-') }}{% endfor %}", "{}", "1-12-2")]
    [InlineData("{% macro f(x) %}{% set y = x * 2 %}{{ y }}{% endmacro %}{{ f(2) }}{{ y }}{{ f is callable }}{{ g is defined }}{% set g = f %}{{ g(3) }}", "{}", "4TrueFalse6")]
    [InlineData("{% macro f(x) %}{% for i in x %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}{% endmacro %}{{ f([1,2,3]) }}{{ f(x=[4]) }}", "{}", "14")]
    [InlineData("{% macro f() %}{{ bos_token }}{{ messages|length }}{% endmacro %}{{ f() }}{{ f()|upper ~ '!' }}", "{}", "<s>4<S>4!")]
    [InlineData("{% set k = 1 %}{% macro f() %}{{ k }}{% set k = 2 %}{{ k }}{% endmacro %}{{ f() }}{{ k }}", "{}", "121")]
    [InlineData("{% macro o() %}{% macro i() %}in{% endmacro %}{{ i() }}{% endmacro %}{{ o() }}{{ i is defined }}", "{}", "inFalse")]
    [InlineData("{% macro f(x, y=x|upper ~ '!') -%}\n  {{ y }}\n{%- endmacro %}\n{{ f('a') }}", "{}", "A!")]
    public void Macros(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{% for i in [3,1,2] %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{}", "3")]
    [InlineData("{% for i in [3,1,2] %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{{ loop.last }}{% else %}E{% endfor %}", "{}", "3False2True")]
    [InlineData("{% for i in [1,2] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "{}", "11 21 ")]
    [InlineData("{% for i in [1] %}{% break %}{% else %}E{% endfor %}{% for i in [1] %}{% continue %}{% else %}F{% endfor %}{% for i in [1,2] %}{% for j in [] %}{% else %}{% break %}{% endfor %}{{ i }}{% endfor %}", "{}", "EF")]
    [InlineData("{% for i in [1,2] %}{% set x %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endset %}{{ x }}{% endfor %}", "{}", "2")]
    [InlineData("{% for i in 'xyz' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.changed(i) }};{% endfor %}", "{}", "1032TrueFalse310yaTrue;2121FalseFalse310xzbTrue;3210FalseTrue310yaTrue;")]
    [InlineData("{% for i in [3,1,2] if i > 1 %}{{ loop.length }}{{ loop.last }}{{ i }}{% endfor %}{% set ns = namespace(n=0) %}{% for i in [1,2,3,4] if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ i }}{% endfor %}", "{}", "2False32True212")]
    [InlineData("{% for a, b, c in [(1,2,3),'xyz'] %}{{ a }}{{ b }}{{ c }};{% endfor %}{% for k, (a, b) in [(1,(2,3))] %}{{ k }}{{ a }}{{ b }}{% endfor %}{% for i in 1, 2 %}{{ i }}{% endfor %}", "{}", "123;xyz;12312")]
    [InlineData("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|items %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}", "{\"d\": {\"b\": 1, \"A\": 2, \"a\": 3}}", "b=1;A=2;a=3;bAabAa")]
    [InlineData("{% for c in u %}[{{ c }}]{% endfor %}", "{\"u\": \"a\ud83d\ude00b\"}", "[a][\ud83d\ude00][b]")]
    [InlineData("{% set g = w|map('upper') %}{{ g|join }}{{ g|join }}|{{ 'x' if g else 'y' }}", "{\"w\": [\"b\", \"A\", \"c\", \"a\"]}", "BACA|x")]
    public void Loops(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{% raw %}{{ x }} {% if %}{% endraw %}|a\n  {% raw %}\n x {{ y }}\n  {% endraw %}\nb|a {%- raw -%}  x  {%- endraw -%}  b", "{}", "{{ x }} {% if %}|a\n\n x {{ y }}\nb|axb")]
    [InlineData("{% generation %}\n{% set q = 1 %}{{ q }}{% endgeneration %}\n{{ q }}{% for i in [1,2] %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{}", "11122")]
    [InlineData("{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set x = 1, 2 %}{{ x }}{% set c, d = 'xy' %}{{ d }}{{ c }}", "{}", "12(1, 2)yx")]
    [InlineData("{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}{% set z | upper | replace('A','b') %}abc{% endset %}{{ z }}{{ ns.y is defined }}{{ namespace({'x':1}).x }}", "{}", "abcbBCFalse1")]
    [InlineData("a\r\nb\rc\n{{- '}}' }}{{ '%}' }}{{ {'a':{'b':1}}['a']['b'] }}", "{}", "a\nb\nc}}%}1")]
    public void BlocksAndAssignments(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}{{ 1 == 1 in [1] }}{{ not true is false }}{{ 1 not in [1] }}", "{}", "TrueFalseTrueTrueFalse")]
    [InlineData("{{ 2**-1 }} {{ 2**3**2 }} {{ -1|abs }} {{ +7 }} {{ --1 }} {{ 2*-3 }} {{ 7 % -3 }} {{ -7.5 % 2 }} {{ 1 // 0.5 }} {{ true + true }}", "{}", "0.5 64 1 7 1 -6 -2 0.5 2.0 2")]
    [InlineData("{{ 0.5 }} {{ 1e3 }} {{ 1.5e-3 }} {{ 1_000 }} {{ 1/3 }} {{ 2/1 }} {{ 0.1+0.2 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }} {{ 123456789012345678.0 }} {{ -0.0 }}", "{}", "0.5 1000.0 0.0015 1000 0.3333333333333333 2.0 0.30000000000000004 1e+16 1000000000000000.0 1e-05 1.2345678901234568e+17 -0.0")]
    [InlineData("{{ big + 1 }} {{ big * 3 }} {{ big // 2 }} {{ big == big + 1 }}", "{\"big\": 9007199254740993}", "9007199254740994 27021597764222979 4503599627370496 False")]
    [InlineData("{{ '=' * 5 }}{{ 3 * 'ab' }}{{ [0] * 3 }}{{ (1,)+(2,) }}{{ [1]+[2] }}{{ 1 == true }}{{ (1,2) == [1,2] }}{{ {'a':1} == {'a':1.0} }}", "{}", "=====ababab[0, 0, 0](1, 2)[1, 2]TrueFalseTrue")]
    [InlineData("{{ '%s-%d %%' % ('a', 3.9) }}{{ '%s' % [1] }}{{ '{} {}'.format(1,'a') }}{{ '{0}{1}{0}'.format(1,2) }}{{ '{a}{{}}'.format(a=[1]) }}{{ '%s!'|format('a') }}", "{}", "a-3 %[1]1 a121[1]{}a!")]
    [InlineData("{{ '\\x41\\u00e9\\101\\q\\'\\\"\\\\|' }}{{ 'a' 'b' }}", "{}", "AéA\\q'\"\\|ab")]
    [InlineData("{{ 'a' if false }}|{{ 'x' if false else 'y' if false else 'z' }}|{{ 1 if i is defined else 2 }}", "{}", "|z|2")]
    [InlineData("{{ 'x' in missing }}{{ missing is sequence }}{{ missing == missing }}{{ none.x }}|{{ none['x'] is defined }}|{{ 5 is eq 5 and 4 is divisibleby(2) }}", "{}", "FalseTrueTrue|False|True")]
    [InlineData("{{ messages.0.role }}{{ d['A'] }}{{ d.items is defined }}{{ d['items'] is defined }}{{ d.update is defined }}{{ d.pop }}|{{ (d|attr('keys'))()|list }}{{ d|attr('a') }}", "{\"d\": {\"b\": 1, \"A\": 2, \"a\": 3}}", "system2TrueTrueFalse|['b', 'A', 'a']")]
    [InlineData("{{ u[6] }}{{ u[:7] }}{{ u[::-1] }}{{ u|length }}{{ u.find('x') }}{{ u|list|last }}", "{\"u\": \"Ünï ß \ud83d\ude00 x\"}", "\ud83d\ude00Ünï ß \ud83d\ude00x \ud83d\ude00 ß ïnÜ98x")]
    [InlineData("{{ range(5)[1] }}{{ range(1,8,3)|list }}{{ range(5,0,-2)|list }}{{ range(1,8,3) }}{{ range(3) == [0,1,2] }}{{ dict(a=1,b='x') }}{{ dict({'a':1},b=2) }}{{ dict([('a',1)]) }}", "{}", "1[1, 4, 7][5, 3, 1]range(1, 8, 3)False{'a': 1, 'b': 'x'}{'a': 1, 'b': 2}{'a': 1}")]
    public void Expressions(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ [1.0, none, true, missing, 'a'] }}{{ (1,) }}{{ () }}{{ ((1,2),[3]) }}{{ {'a':[1,{'b':none}]} }}{{ {} }}{{ 1, 2 }}", "{}", "[1.0, None, True, Undefined, 'a'](1,)()((1, 2), [3]){'a': [1, {'b': None}]}{}(1, 2)")]
    [InlineData("{{ [\"'\", '\"', '\\'\"', '\\n\\t\\\\', '\\u2028', '\\x7f', 'é', '\\xa0', '\\u200b', '\\x01'] }}", "{}", "[\"'\", '\"', '\\'\"', '\\n\\t\\\\', '\\u2028', '\\x7f', 'é', '\\xa0', '\\u200b', '\\x01']")]
    [InlineData("{{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ [u] }}", "{\"d\": {\"a\": 1}, \"u\": \"\ud83d\ude00\"}", "dict_items([('a', 1)]) dict_keys(['a']) dict_values([1]) ['\ud83d\ude00']")]
    [InlineData("{{ x|tojson }}{{ x|tojson(ensure_ascii=true) }}", "{\"x\": \"Ü\ud83d\ude00\\\"\\\\/<>&'\u2028\u007f\u00a0\\u0001\\b\\f\\n\"}", "\"Ü\ud83d\ude00\\\"\\\\/<>&'\u2028\u007f\u00a0\\u0001\\b\\f\\n\"\"\\u00dc\\ud83d\\ude00\\\"\\\\/<>&'\\u2028\\u007f\\u00a0\\u0001\\b\\f\\n\"")]
    [InlineData("{{ [1.0,1e20,0.1,true,none,(1,2)]|tojson }}{{ {'a':[],'b':{},'c':[1,{'d':2}]}|tojson(indent=4) }}{{ {'b':1,'a':2}|tojson(sort_keys=true,separators=(',',':')) }}", "{}", "[1.0, 1e+20, 0.1, true, null, [1, 2]]{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n            \"d\": 2\n        }\n    ]\n}{\"a\":2,\"b\":1}")]
    public void WhatIsPutOut(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(1,2) }}", "'f' takes 1 arguments at most, and is given 2")]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(z=2) }}", "'f' takes no argument 'z'")]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(1,a=2) }}", "'f' is given 'a' twice")]
    [InlineData("{% macro f(a=1, b) %}{% endmacro %}", "'b' needs a default")]
    [InlineData("{% macro f(a, a) %}{% endmacro %}", "'a' stands twice")]
    [InlineData("{% macro f() %}{{ varargs }}{% endmacro %}", "'varargs' of macros")]
    [InlineData("{% macro f() %}x", "'macro' is not closed")]
    [InlineData("{{ f() }}{% macro f() %}x{% endmacro %}", "the function 'f' is not known")]
    [InlineData("{% break %}", "'break' stands in no loop")]
    [InlineData("{% if true %}{% continue %}{% endif %}", "'continue' stands in no loop")]
    [InlineData("{% for i in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", "'break' stands in no loop")]
    [InlineData("{% for i in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "'break' stands in no loop")]
    [InlineData("{% for i in [1] %}{% else %}{% break %}{% endfor %}", "'break' stands in no loop")]
    [InlineData("{% for i in [1] recursive %}{% endfor %}", "'recursive' is too much")]
    [InlineData("{% filter upper %}a{% endfilter %}", "the statement 'filter'")]
    [InlineData("{% call f() %}{% endcall %}", "the statement 'call'")]
    [InlineData("{% include 'x' %}", "the statement 'include'")]
    [InlineData("{% do 1 %}", "the statement 'do'")]
    [InlineData("{% raw %}x", "'raw' is not closed")]
    [InlineData("{% generation %}x", "'generation' is not closed")]
    [InlineData("{% set a, b = [1] %}", "2 names (a, b) get the 1 elements")]
    [InlineData("{% if true %}{% endif x %}", "'x' is too much")]
    [InlineData("{{ '%5d' % 2 }}", "'%5' in a text is not known")]
    [InlineData("{{ '%s %s' % 'a' }}", "more places than the 1 values")]
    [InlineData("{{ '{:>5}'.format(1) }}", "not '{:>5}'")]
    [InlineData("{{ '{a.b}'.format(a=1) }}", "not '{a.b}'")]
    [InlineData("{{ '{} {0}'.format(1) }}", "both {} and {0}")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "more than 64 bits")]
    [InlineData("{{ {1: 2} }}", "other keys than texts")]
    [InlineData("{{ 2 ** 64 }}", "more than 64 bits")]
    [InlineData("{{ -2 ** 2 }}", "a power of a negative number")]
    [InlineData("{{ '\\ud800' }}", "no character that is known")]
    [InlineData("{{ messages|map('upper') }}", "such as 'map' gives")]
    [InlineData("{{ range }}", "puts out the function 'range'")]
    [InlineData("{{ [missing]|tojson }}", "'missing', which is not defined, has no JSON")]
    [InlineData("{{ range(2)|tojson }}", "a range has no JSON")]
    [InlineData("{{ self }}", "'self' is not known")]
    [InlineData("{{ messages.append(1) }}", "no method 'append' that is known")]
    [InlineData("{{ 'a' < 1 }}", "is no number")]
    public void WhatIsNotKnownIsNamed(string template, string message) => Assert.Contains(message, Assert.Throws<ChatTemplateException>(() => Render(template, "{}")).Message, StringComparison.Ordinal);

    private static string Render(string template, string variables) => ChatTemplate.Parse(template).Render(
        [new("system", "Be brief."), new("user", "Q?"), new("assistant", "A."), new("user", "Why?")], "<s>", "</s>", addGenerationPrompt: true, TemplateArguments.Parse(variables));
}
