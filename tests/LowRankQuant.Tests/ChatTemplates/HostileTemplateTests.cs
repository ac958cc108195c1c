using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Templates that ask for more time, memory or stack than there is; found by fuzzing and by reading.</summary>
public class HostileTemplateTests
{
    private const string Loop = "{% for i in range(60) %}";

    [Theory]
    [InlineData("{% set n = namespace(x='a') %}" + Loop + "{% set n.x = n.x + n.x %}{% endfor %}", "makes a text of more than")]
    [InlineData("{% set n = namespace(x='a') %}" + Loop + "{% set n.x = n.x ~ n.x %}{% endfor %}", "makes a text of more than")]
    [InlineData("{% set n = namespace(x=['a']) %}" + Loop + "{% set n.x = n.x + n.x %}{% endfor %}", "more than 262144 steps")]
    [InlineData("{% set n = namespace(x=['a']) %}" + Loop + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}", "more than 262144 steps")]
    [InlineData("{% set a = namespace(x=['a']) %}{% set b = namespace(x=['a']) %}" + Loop + "{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}", "more than 262144 steps")]
    [InlineData("{% set n = namespace(x=['a']) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x | tojson }}", "nested more than 64 deep")]
    [InlineData("{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}", "more than 262144 steps")]
    [InlineData("{% set n = namespace(x='a') %}{% for i in range(20) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x | replace('a', n.x) }}", "makes a text of more than")]
    [InlineData("{% set n = namespace(x='a') %}{% for i in range(22) %}{% set n.x = n.x ~ n.x %}{% endfor %}{% for c in n.x %}{% endfor %}", "characters apart")]
    [InlineData("{{ range(-9223372036854775807, 9223372036854775807) | length }}", "a range of 1844674407370955161")]
    [InlineData("{{ 'a'.split('') }}", "a separator that is not empty")]
    public void WorkWithoutEndIsRefused(string template, string message) =>
        Assert.Contains(message, Assert.Throws<ChatTemplateException>(() => Render(template)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{{ a", ".b", " }}")]
    [InlineData("{{ 1", "+1", " }}")]
    [InlineData("{{ 1", "~1", " }}")]
    [InlineData("{{ 1", " or 0", " }}")]
    [InlineData("{{ 1", " and 1", " }}")]
    [InlineData("{{ 1", " == 1", " }}")]
    [InlineData("{{ 'a'", "|upper", " }}")]
    [InlineData("{{ 'a'", "[0]", " }}")]
    [InlineData("{{ 1", " in [1]", " }}")]
    public void AChainLongerThanTheStackIsRefused(string start, string link, string end)
    {
        var failure = Assert.Throws<ChatTemplateException>(() => Render(start + string.Concat(Enumerable.Repeat(link, 30_000)) + end));
        Assert.Contains("an expression has more than 1000 operators in '", failure.Message, StringComparison.Ordinal);
        Assert.InRange(failure.Message.Length, 1, 200);
    }

    [Fact]
    public void ManyBranchesTakeNoStack()
    {
        string template = "{% if false %}" + string.Concat(Enumerable.Repeat("{% elif 0 %}x", 15_000)) + "{% else %}end{% endif %}";
        Assert.Equal("end", Render(template));
    }

    [Fact]
    public void ListsOfManyElementsAreNoLongExpression() =>
        Assert.Equal("1500", Render("{{ [" + string.Concat(Enumerable.Repeat("'a',", 1500)) + "] | length }}"));

    [Theory]
    [InlineData("{{ 'abcdefgh'[5::9223372036854775807] }}", "f")]
    [InlineData("{{ 'abcdefgh'[5::-9223372036854775807] }}", "f")]
    [InlineData("{{ 'abcd'[::-2] }}", "db")]
    [InlineData("{{ 'abc' | replace('', '-') }}", "-a-b-c-")]
    [InlineData("{{ '\ud83d\ude00'[:1] | tojson }}", "\"\ud83d\ude00\"")]
    [InlineData("{{ 'xaxx' | trim('x') }}", "a")]
    public void EdgesGiveWhatPythonGives(string template, string expected) => Assert.Equal(expected, Render(template));

    [Fact]
    public void AHalfCharacterInTheConfigurationIsToldByName()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("tokenizer_config.json"), """{"chat_template": "\ud800"}""");
        var failure = Assert.Throws<ChatTemplateException>(() => ChatTemplateFile.Find(folder.Path));
        Assert.Contains("tokenizer_config.json", failure.Message, StringComparison.Ordinal);
    }

    private static string Render(string template) => ChatTemplate.Parse(template).Render([new ChatMessage("user", "Hi")], "", "", addGenerationPrompt: false);
}
