using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Macros, filters, methods and texts that ask for more time, memory or stack than there is.</summary>
public class HostileMacroTests
{
    private const string Long = "{% set n = namespace(x='a') %}{% for i in range(23) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    private const string Nested = "{% set n = namespace(x=['a']) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}";

    [Theory]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "'f' is called within macros that are more than 64 deep")]
    [InlineData("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "more than 64 deep")]
    [InlineData("{% macro f(x=f()) %}{% endmacro %}{{ f() }}", "more than 64 deep")]
    [InlineData("{% macro f(n) %}{{ n * 2 ** 40 }}{{ f(n ~ n) }}{% endmacro %}{{ f('aaaaaaaa') }}", "makes a text of more than")]
    [InlineData("{% macro f(n) %}{% for i in range(9999) %}{{ g(n) }}{% endfor %}{% endmacro %}{% macro g(n) %}{% for i in range(9999) %}{% endfor %}{% endmacro %}{{ f(1) }}", "more than 262144 steps")]
    [InlineData("{{ 'a' | indent(99999999999) }}{{ 'a\na' | indent(99999999999) }}", "makes a text of more than")]
    [InlineData("{{ 'a\na' | indent(16000000, true) }}", "makes a text of more than")]
    [InlineData("{{ 'a' | center(9999999999999) }}", "makes a text of more than")]
    [InlineData("{{ 'a'.ljust(9223372036854775807) }}", "makes a text of more than")]
    [InlineData("{{ 'ab' * 9223372036854775807 }}", "makes a text of more than")]
    [InlineData("{{ ['ab'] * 9223372036854775807 }}", "makes a list of more than")]
    [InlineData("{{ [1] * 1000000 }}{{ [1] * 1000000 }}{{ [1] * 1000000 }}", "more than 262144 steps")]
    [InlineData("{{ '%99999999d' % 1 }}", "'%9' in a text is not known")]
    [InlineData("{{ '{:999999999}'.format(1) }}", "not '{:999999999}'")]
    [InlineData("{{ '{0[0]}'.format([1]) }}", "not '{0[0]}'")]
    [InlineData("{{ '{99999999999}'.format(1) }}", "not '{99999999999}'")]
    [InlineData(Long + "{{ ('{0}' * 9).format(n.x) }}", "makes a text of more than")]
    [InlineData(Long + "{{ ('%s' * 9) % (n.x, n.x, n.x) }}", "makes a text of more than")]
    [InlineData(Long + "{{ n.x.split('a') | length }}", "more than 262144 steps")]
    [InlineData(Long + "{{ (n.x | replace('a', '\n')).splitlines() | length }}", "more than 262144 steps")]
    [InlineData(Long + "{{ (n.x | replace('a', '\n')) | indent(1) }}", "more than 262144 steps")]
    [InlineData(Long + "{{ n.x.join(['', '', '', '']) }}", "makes a text of more than")]
    [InlineData(Long + "{{ [1, 2, 3, 4] | join(n.x) }}", "makes a text of more than")]
    [InlineData(Long + "{{ n.x | e }}", "makes a text of more than")]
    [InlineData(Long + "{{ n.x | list | length }}", "more than 262144 steps")]
    [InlineData(Long + "{{ n.x | map('upper') | list | length }}", "more than 262144 steps")]
    [InlineData(Long + "{% for i in range(9999) %}{{ n.x.count('a') }}{{ n.x is upper }}{% endfor %}", "more than 262144 steps")]
    [InlineData("{% set n = namespace(x=range(9999) | list) %}{% for i in range(9999) %}{{ n.x | sort | first }}{{ n.x | sum }}{{ n.x | unique | list | length }}{% endfor %}", "more than 262144 steps")]
    [InlineData("{{ (range(9999) | map('string') | list * 100) | sort | first }}", "more than 262144 steps")]
    [InlineData("{{ ((range(9999) | list) * 90) | sort | first }}", "more than 262144 steps")]
    [InlineData("{{ [1] | batch(99999999999, 'x') | list }}", "more than 262144 steps")]
    [InlineData(Nested + "{{ n.x }}", "more than 262144 steps")]
    [InlineData(Nested + "{{ n.x ~ '' }}", "more than 262144 steps")]
    [InlineData(Nested + "{{ n.x | join }}", "more than 262144 steps")]
    [InlineData("{% set n = namespace(x=[1]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "nested more than 64 deep")]
    [InlineData("{% set n = namespace(x={}) %}{% for i in range(9999) %}{% set n.x = {'a': n.x} %}{% endfor %}{{ n.x }}", "nested more than 64 deep")]
    [InlineData("{% set n = namespace(x={}, y={}) %}{% for i in range(9999) %}{% set n.x = {'a': n.x} %}{% set n.y = {'a': n.y} %}{% endfor %}{{ n.x == n.y }}", "nested more than 64 deep")]
    [InlineData("{% set n = namespace(x=[[1]]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ [n.x, n.x[0]] | min }}", "nested more than 64 deep")]
    [InlineData("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x | list | string %}{% endfor %}", "more than 262144 steps")]
    [InlineData("{{ 10 ** 99999999999 }}", "more than 64 bits")]
    [InlineData("{{ 10.0 ** 99999999999 }}", "a power that is no number, or too large")]
    [InlineData("{{ -9223372036854775807 - 2 }}", "more than 64 bits")]
    [InlineData("{{ range(0, 99999999999, 2) }}", "a range of 50000000000")]
    [InlineData("{{ range(0, 9, 0) }}", "a step of 0")]
    [InlineData("{% set n = namespace(f=raise_exception) %}{{ n.f(n.x) }}", "refuses the messages")]
    public void WorkWithoutEndIsRefused(string template, string message) =>
        Assert.Contains(message, Assert.Throws<ChatTemplateException>(() => Render(template)).Message, StringComparison.Ordinal);

    [Fact]
    public void MacrosThatEachCallTheNextTwiceEnd()
    {
        string template = string.Concat(Enumerable.Range(0, 63).Select(i => $"{{% macro m{i}() %}}{{{{ m{i + 1}() }}}}{{{{ m{i + 1}() }}}}{{% endmacro %}}")) + "{% macro m63() %}x{% endmacro %}{{ m0() }}";
        Assert.Contains("more than 262144 steps", Assert.Throws<ChatTemplateException>(() => Render(template)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{{ '~'", " ~ ('a'", ")", 60)]
    [InlineData("{{ 1", " + 1", "", 990)]
    [InlineData("{{ 'a'", " | upper", "", 990)]
    public void MacrosWithLongExpressionsDoNotEndTheStack(string start, string link, string end, int times)
    {
        // 64 calls, each at the end of an expression that is as long and as deep as may be, within as many blocks.
        string expression = start + string.Concat(Enumerable.Repeat(link, times)) + " ~ f()" + string.Concat(Enumerable.Repeat(end, end.Length == 0 ? 0 : times)) + " }}";
        string inner = start.Replace("{{", "{{ f() ~", StringComparison.Ordinal) + string.Concat(Enumerable.Repeat(link, times)) + string.Concat(Enumerable.Repeat(end, end.Length == 0 ? 0 : times)) + " }}";
        foreach (string body in new[] { expression, inner })
        {
            string template = "{% macro f() %}" + string.Concat(Enumerable.Repeat("{% if true %}", 60)) + body + string.Concat(Enumerable.Repeat("{% endif %}", 60)) + "{% endmacro %}{{ f() }}";
            OnASmallStack(() => Assert.Contains("deep", Assert.Throws<ChatTemplateException>(() => Render(template)).Message, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void FiltersWithinFiltersDoNotEndTheStack()
    {
        string names = string.Concat(Enumerable.Repeat("'map', ", 30_000));
        OnASmallStack(() => Assert.Throws<ChatTemplateException>(() => Render("{{ ['a'] | map(" + names + "'list') | list }}")));
        // What is worked out only when it is asked for, of what is too.
        OnASmallStack(() => Assert.Contains("too deep in each other", Assert.Throws<ChatTemplateException>(() => Render(
            "{% set n = namespace(x=['a']) %}{% for i in range(9999) %}{% set n.x = n.x | select %}{% endfor %}{{ n.x | list }}")).Message, StringComparison.Ordinal));
    }

    [Fact]
    public void NestingOfWhatIsReadIsRefused()
    {
        Assert.Throws<ChatTemplateException>(() => Render("{{ " + new string('-', 5000) + "1 }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{{ " + new string('+', 5000) + "1 }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{{ " + string.Concat(Enumerable.Repeat("{'a':", 5000)) + "1" + new string('}', 5000) + " }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{% for " + new string('(', 5000) + "a" + new string(')', 5000) + " in [] %}{% endfor %}"));
        Assert.Throws<ChatTemplateException>(() => Render(string.Concat(Enumerable.Repeat("{% macro f() %}", 5000))));
        Assert.Throws<ChatTemplateException>(() => Render("{{ 1" + string.Concat(Enumerable.Repeat(" is eq 1", 5000)) + " }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{{ 1" + string.Concat(Enumerable.Repeat(" if 1", 5000)) + " }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{{ a" + string.Concat(Enumerable.Repeat("()", 5000)) + " }}"));
        Assert.Throws<ChatTemplateException>(() => Render("{{ 2" + string.Concat(Enumerable.Repeat("**1", 5000)) + " }}"));
    }

    // As threads of a pool have it on some systems; an overflow would end the process.
    private static void OnASmallStack(Action test)
    {
        Exception? failure = null;
        var thread = new Thread(
            () =>
            {
                try
                {
                    test();
                }
                catch (Exception wrong)
                {
                    failure = wrong;
                }
            },
            1 << 20);
        thread.Start();
        thread.Join();
        if (failure is not null) throw failure;
    }

    private static string Render(string template) => ChatTemplate.Parse(template).Render([new ChatMessage("user", "Hi")], "", "", addGenerationPrompt: false);
}
