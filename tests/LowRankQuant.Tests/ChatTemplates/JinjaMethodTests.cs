using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Methods of texts, mappings and lists. The texts that are expected are those of Jinja 3.1.6 with Transformers' settings.</summary>
public class JinjaMethodTests
{
    [Theory]
    [InlineData("{{ \"they're bill's\".title() }}|{{ 'ABC def'.capitalize() }}|{{ 'ßa'.capitalize() }}|{{ 'a1b'.title() }}", "{}", "They'Re Bill'S|Abc def|Ssa|A1B")]
    [InlineData("{{ 'banana'.count('an') }}{{ 'abc'.count('') }}{{ 'banana'.find('na') }}{{ 'banana'.rfind('na') }}{{ 'a'.find('z') }}{{ 'banana'.index('n') }}{{ 'banana'.rindex('n') }}", "{}", "2424-124")]
    [InlineData("{{ s.split() }}{{ s.rsplit() }}{{ s.split(none,1) }}{{ s.rsplit(none,1) }}{{ s.split(maxsplit=2) }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,,c'.split(',',1) }}{{ 'a,b,,c'.rsplit(',',1) }}{{ 'a,b'.split(sep=',',maxsplit=0) }}{{ ''.split() }}{{ ''.split(',') }}", "{\"s\": \" a  b c \"}", "['a', 'b', 'c']['a', 'b', 'c']['a', 'b c '][' a  b', 'c']['a', 'b', 'c ']['a', 'b', '', 'c']['a', 'b,,c']['a,b,', 'c']['a,b'][]['']")]
    [InlineData("{{ x.splitlines() }}{{ x.splitlines(true) }}{{ ''.splitlines() }}", "{\"x\": \"a\\n\\nb\\r\\nc\u2028d\\n\"}", "['a', '', 'b', 'c', 'd']['a\\n', '\\n', 'b\\r\\n', 'c\\u2028', 'd\\n'][]")]
    [InlineData("{{ 'aaa'.replace('a','b') }}{{ 'aaa'.replace('a','b',2) }}{{ 'ab'.replace('','-') }}{{ 'ab'.replace('','-',2) }}{{ 'aaa'.replace('a','',0) }}{{ 'aaa'.replace('a','b',-1) }}", "{}", "bbbbba-a-b--a-baaabbb")]
    [InlineData("{{ 'abcab'.removeprefix('ab') }}{{ 'abcab'.removesuffix('ab') }}{{ 'x'.removeprefix('ab') }}{{ 'a:b:c'.partition(':') }}{{ 'a:b:c'.rpartition(':') }}{{ 'a'.partition(':') }}", "{}", "cababcx('a', ':', 'b:c')('a:b', ':', 'c')('a', '', '')")]
    [InlineData("{{ 'abc'.startswith(('x','a')) }}{{ 'abc'.endswith('bc') }}{{ 'abc'.endswith(()) }}{{ '-'.join(['a','b']) }}{{ ','.join('xyz') }}{{ 'ab'.center(5,'*') }}{{ 'ab'.center(4) }}{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4) }}", "{}", "TrueTrueFalsea-bx,y,z**ab* ab ab  |  ab")]
    [InlineData("{{ '12'.isdigit() }}{{ ''.isdigit() }}{{ 'aé'.isalpha() }}{{ 'a1'.isalnum() }}{{ 'a_'.isalnum() }}{{ ' \t'.isspace() }}{{ 'A1'.isupper() }}{{ 'aB'.islower() }}", "{}", "TrueFalseTrueTrueFalseTrueTrueFalse")]
    [InlineData("{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ 'xyaxy'.strip('yx') }}|{{ 'aa'.strip('') }}|{{ '\ud83d\ude00a\ud83d\ude01'.strip('\ud83d\ude00') }}", "{\"s\": \" a  b c \"}", "a  b c|a  b c | a  b c|a|aa|a\ud83d\ude01")]
    [InlineData("{{ 'a'.upper is defined }}{{ 'a'['upper']() }}{{ 'a'.foo is defined }}{{ 'ǆ'.capitalize() }}{{ 'İ'.lower()|length }}", "{}", "TrueAFalseǅ2")]
    public void OfTexts(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ d.get('a') }}{{ d.get('z') }}{{ d.get('z',5) }}{{ d.get(1) }}{{ d.copy() == d }}{{ 'a' in d.keys() }}{{ 1 in d.values() }}{{ d.items()[0] }}", "{\"d\": {\"b\": 1, \"A\": 2, \"a\": 3}}", "['b', 'A', 'a'][1, 2, 3][('b', 1), ('A', 2), ('a', 3)]3None5NoneTrueTrueTrue")]
    [InlineData("{{ [3,1,2].index(1) }}{{ [1,2,2].count(2) }}{{ (1,2).index(2) }}{{ [1].copy() }}{{ [1].append is defined }}", "{}", "121[1]False")]
    public void OfMappingsAndLists(string template, string variables, string expected) => Assert.Equal(expected, Render(template, variables));

    [Theory]
    [InlineData("{{ 'a'.encode() }}", "'encode' is not known; capitalize")]
    [InlineData("{{ 'a'.foo() }}", "no method 'foo' that is known")]
    [InlineData("{{ 'a'.startswith(['a']) }}", "'startswith' needs a text")]
    [InlineData("{{ ','.join([1]) }}", "'join' needs a text")]
    [InlineData("{{ 'a'.index('z') }}", "'index' does not find the text")]
    [InlineData("{{ [1].index(2) }}", "'index' does not find the value")]
    [InlineData("{{ 'a'.split('') }}", "a separator that is not empty")]
    [InlineData("{{ 'a'.find('a', 1) }}", "'find' takes 1 arguments, and is given 2")]
    [InlineData("{{ messages[0].update({'a': 1}) }}", "no method 'update' that is known")]
    [InlineData("{{ messages.append(1) }}", "no method 'append' that is known")]
    [InlineData("{{ 'a'.upper(x=1) }}", "'upper' takes no argument 'x'")]
    public void WhatIsNotKnownIsNamed(string template, string message) => Assert.Contains(message, Assert.Throws<ChatTemplateException>(() => Render(template, "{}")).Message, StringComparison.Ordinal);

    private static string Render(string template, string variables) => ChatTemplate.Parse(template).Render(
        [new("system", "Be brief."), new("user", "Q?"), new("assistant", "A."), new("user", "Why?")], "<s>", "</s>", addGenerationPrompt: true, TemplateArguments.Parse(variables));
}
