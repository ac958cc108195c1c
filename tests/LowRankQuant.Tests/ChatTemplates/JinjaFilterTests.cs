using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Filters and tests. The texts that are expected are those of Jinja 3.1.6 with Transformers' settings.</summary>
public class JinjaFilterTests
{
    [Theory]
    [InlineData("{{ 'hello WORLD-foo [bar'|title }}|{{ 'hELLO wORLD'|capitalize }}|{{ 'straße'|upper }}|{{ 'ΟΔΟΣ'|lower }}|{{ 'Hello foo_bar-b'|wordcount }}|{{ 'ab'|center(5) }}|", "{}", "Hello World-Foo [Bar|Hello world|STRASSE|οδος|3|  ab |")]
    [InlineData("{{ ml|indent }}|{{ ml|indent(2,true) }}|{{ ml|indent(2,false,true) }}|{{ ml|indent('> ',first=true,blank=true) }}|{{ ''|indent(first=true) }}|{{ 'a\nb'|indent(width=0) }}", "{\"ml\": \"a\\n\\n  b\\r\\nc\\n\"}", "a\n\n      b\n    c\n|  a\n\n    b\n  c\n|a\n  \n    b\n  c\n  |> a\n> \n>   b\n> c\n> |    |a\nb")]
    [InlineData("{{ 'aXbX'|replace('X','') }}{{ 'aaa'|replace('a','b',2) }}{{ 111|replace(1,2) }}{{ 'aa'|replace('a',new='c',count=1) }}|{{ 'xxaxx'|trim('x') }}|{{ ' a '|trim }}|{{ 'ab'|trim('') }}", "{}", "abbba222ca|a|a|ab")]
    [InlineData("{{ ('<'|e) ~ '<' }}{{ '<&\"\\''|escape|escape }}{{ '<'|safe|e }}{{ ('a'|safe)|length }}{{ ('a'|safe) == 'a' }}{{ 'a'|safe is string }}{{ '<'|tojson|safe }}", "{}", "&lt;<&lt;&amp;&#34;&#39;<1TrueTrue\"<\"")]
    public void OfTexts(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1,'floor') }} {{ 42.55|round(1,method='ceil') }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 5|round }} {{ -2.5|round }} {{ 1.005|round(2) }} {{ 1e20|round(2) }} {{ 99.995|round(2) }} {{ 9.5|round|int }} {{ -0.4|round }}", "{}", "43.0 42.5 42.5 42.6 2.0 4.0 2.67 5 -2.0 1.0 1e+20 100.0 10 -0.0")]
    [InlineData("{{ '5'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(3) }} {{ ' 42 '|int }} {{ '3.7'|int }} {{ '1_0'|int }} {{ '-3.9'|int }} {{ 3.9|int }} {{ none|int }} {{ [1]|int(default=4) }}", "{}", "6 0 3 42 3 10 -3 3 0 4")]
    [InlineData("{{ '1e3'|float }} {{ '.5'|float }} {{ '5.'|float }} {{ '1,5'|float }} {{ true|float }} {{ 'x'|float(2) }} {{ 3|float }} {{ -2.5|abs }} {{ true|abs }}", "{}", "1000.0 0.5 5.0 0.0 1.0 2 3.0 2.5 1")]
    [InlineData("{{ [1,2]|sum }} {{ []|sum }} {{ [1,2.5]|sum }} {{ [[1],[2]]|sum(start=[]) }} {{ [1]|sum(start=5) }} {{ [1.5,1,2]|max }} {{ [3,1]|min }} {{ []|max is defined }}", "{}", "3 0 3.5 [1, 2] 6 2 1 False")]
    public void OfNumbers(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ w|sort }}{{ w|sort(reverse=true) }}{{ w|sort(case_sensitive=true) }}{{ w|unique|list }}{{ w|unique(true)|list }}{{ w|min }}{{ w|max(case_sensitive=true) }}{{ w|first }}{{ w|last }}{{ w|reverse|list }}", "{\"w\": [\"b\", \"A\", \"c\", \"a\"]}", "['A', 'a', 'b', 'c']['c', 'b', 'A', 'a']['A', 'a', 'b', 'c']['b', 'A', 'c']['b', 'A', 'c', 'a']Acba['a', 'c', 'A', 'b']")]
    [InlineData("{{ w|map('upper')|join(',') }}{{ w|map('replace','a','x')|list }}{{ w|map('indent',2,first=true)|list }}{{ w|select('eq','a')|list }}{{ w|reject('in',['a'])|list }}{{ w|select('==','a')|list }}{{ w|select('upper')|list }}{{ w|batch(3,'z')|list }}", "{\"w\": [\"b\", \"A\", \"c\", \"a\"]}", "B,A,C,A['b', 'A', 'c', 'x']['  b', '  A', '  c', '  a']['a']['b', 'A', 'c']['a']['A'][['b', 'A', 'c'], ['a', 'z', 'z']]")]
    [InlineData("{{ m|sort(attribute='n')|map(attribute='role')|list }}{{ m|map(attribute='x.y', default='none')|list }}{{ m|map(attribute='zz')|list }}{{ m|sum(attribute='n') }}{{ m|sum('n',10) }}{{ (m|max(attribute='n')).role }}{{ m|join(',',attribute='role') }}{{ m|unique(attribute='role')|list|length }}", "{\"m\": [{\"role\": \"user\", \"n\": 2, \"x\": {\"y\": \"q\"}}, {\"role\": \"system\", \"n\": 1}, {\"role\": \"tool\", \"n\": 3, \"x\": {\"y\": \"p\"}}]}", "['system', 'user', 'tool']['q', 'none', 'p'][Undefined, Undefined, Undefined]616tooluser,system,tool3")]
    [InlineData("{{ m|selectattr('x')|list|length }}{{ m|rejectattr('x')|list }}{{ m|selectattr('role','equalto','user')|list }}{{ m|selectattr('role','in',['user','system'])|map(attribute='n')|list }}{{ m|rejectattr('role','eq','user')|map(attribute='role')|join(', ') }}{{ m|selectattr('n','gt',1)|list|length }}{{ (m|selectattr('x.y','eq','q')|first).n }}", "{\"m\": [{\"role\": \"user\", \"n\": 2, \"x\": {\"y\": \"q\"}}, {\"role\": \"system\", \"n\": 1}, {\"role\": \"tool\", \"n\": 3, \"x\": {\"y\": \"p\"}}]}", "2[{'role': 'system', 'n': 1}][{'role': 'user', 'n': 2, 'x': {'y': 'q'}}][2, 1]system, tool22")]
    [InlineData("{{ d|dictsort }}{{ d|dictsort(true) }}{{ d|dictsort(by='value',reverse=true) }}{{ d|list }}{{ d|first }}{{ d|length }}{{ d|join }}{{ d|items|list }}", "{\"d\": {\"b\": 1, \"A\": 2, \"a\": 3}}", "[('A', 2), ('a', 3), ('b', 1)][('A', 2), ('a', 3), ('b', 1)][('a', 3), ('A', 2), ('b', 1)]['b', 'A', 'a']b3bAa[('b', 1), ('A', 2), ('a', 3)]")]
    [InlineData("{{ [[2,1],[1,5]]|sort }}{{ [true,false]|sort }}{{ [1,true,1.0,'1',none,none]|unique|list }}{{ ['a',1,none,1.5]|join('/') }}{{ 'abc'|join('.') }}{{ 'abc'|list }}{{ 'abc'|reverse }}{{ (1,2)|list }}", "{}", "[[1, 5], [2, 1]][False, True][1, '1', None]a/1/None/1.5a.b.c['a', 'b', 'c']cba[1, 2]")]
    [InlineData("{{ none|default('x') }}{{ none|default('x',true) }}{{ missing|d(default_value='y') }}{{ 0|default(1,boolean=true) }}{{ 1.5|string ~ [1]|string }}", "{}", "Nonexy11.5[1]")]
    public void OfLists(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ true is number }}{{ 'a' is lower }}{{ 'A1' is upper }}{{ '1' is upper }}{{ range is callable }}{{ 1 is callable }}{{ missing is callable }}", "{}", "TrueFalseTrueTrueTrueTrueFalseTrueFalseTrue")]
    [InlineData("{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 1 is eq 1.0 }}{{ 'a' is equalto('a') }}{{ 1 is ne 2 }}{{ 2 is gt 1 }}{{ 2 is greaterthan(1) }}{{ 2 is ge 2 }}{{ 1 is lt 2 }}{{ 1 is lessthan 2 }}{{ 1 is le 0 }}{{ none is sameas none }}{{ 1 is sameas true }}{{ true is sameas true }}", "{}", "TrueFalseTrueTrueTrueTrueTrueTrueTrueTrueFalseTrueFalseTrue")]
    [InlineData("{{ 1 is in [1] }}{{ 1 is not in [1] }}{{ 'b' is in('abc') }}{{ '' is in 'abc' }}{{ -3 is odd }}{{ 2.0 is even }}", "{}", "TrueFalseTrueTrueTrueTrue")]
    [InlineData("{{ d is mapping }}{{ d.items() is sequence }}{{ d.items() is iterable }}{{ (d|items) is iterable }}{{ (d|items) is sequence }}{{ (1,) is sequence }}{{ range(2) is sequence }}{{ none is iterable }}{{ messages is string }}", "{\"d\": {\"b\": 1, \"A\": 2, \"a\": 3}}", "TrueFalseTrueTrueFalseTrueTrueFalseFalse")]
    public void Tests(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ 'x'|groupby('n') }}", "the filter 'groupby' is not known")]
    [InlineData("{{ ['x']|map('shuffle')|list }}", "the filter 'shuffle' is not known")]
    [InlineData("{{ ['x']|select('odder')|list }}", "the test 'odder' is not known")]
    [InlineData("{{ 'x'|upper('a') }}", "the filter 'upper' takes 0 arguments, and is given 1")]
    [InlineData("{{ 'x'|join(zz=1) }}", "the filter 'join' takes no argument 'zz'")]
    [InlineData("{{ 'x'|replace('a') }}", "the filter 'replace' needs the argument 'new'")]
    [InlineData("{{ 1|indent }}", "the filter 'indent' needs a text")]
    [InlineData("{{ 'a'|safe + '<' }}", "a text that 'safe' or 'escape' made is no number")]
    [InlineData("{{ 'a'|safe|trim }}", "'trim' of a text that 'safe' or 'escape' made is not known")]
    [InlineData("{{ 5|round(-1) }}", "0 to 15 digits")]
    [InlineData("{{ 5|round(method='x') }}", "common, ceil and floor")]
    [InlineData("{{ [3,'a']|sort }}", "is no number")]
    [InlineData("{{ ['a']|sum }}", "a text is no number")]
    [InlineData("{{ [0.1,0.2,0.3]|sum }}", "another one in newer versions")]
    [InlineData("{{ [[1]]|unique|list }}", "knows texts, numbers")]
    [InlineData("{{ (messages|map(attribute='role'))|length }}", "such as 'map' or 'select' gives has no length")]
    [InlineData("{{ 1 is divisibleby }}", "the test 'divisibleby' takes 1 arguments, and is given 0")]
    [InlineData("{{ 1 is odd 2 }}", "the test 'odd' takes 0 arguments, and is given 1")]
    [InlineData("{{ 'x' is sameas 'x' }}", "'eq' says whether they are equal")]
    [InlineData("{{ missing|int }}", "'missing', which is not defined, is no number")]
    public void WhatIsNotKnownIsNamed(string template, string message) => Assert.Contains(message, Assert.Throws<ChatTemplateException>(() => Render(template, "{}")).Message, StringComparison.Ordinal);

    private static string Render(string template, string variables) => ChatTemplate.Parse(template).Render(
        [new("system", "Be brief."), new("user", "Q?"), new("assistant", "A."), new("user", "Why?")], "<s>", "</s>", addGenerationPrompt: true, TemplateArguments.Parse(variables));
}
