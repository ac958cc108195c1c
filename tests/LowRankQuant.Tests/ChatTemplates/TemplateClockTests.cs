using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>The date that templates ask for: given, or not there. The texts that are expected are those of Python 3.11 on Linux.</summary>
public class TemplateClockTests
{
    [Theory]
    [InlineData("2026-12-01", "'%Y %y %m %d %H %I %M %S %p %B %b %A %a %j %e %% %-d %-m|%F %T'", "2026 26 12 01 00 12 00 00 AM December Dec Tuesday Tue 335  1 % 1 12|2026-12-01 00:00:00")]
    [InlineData("2024-02-05T13:04:09", "'%Y %y %m %d %H %I %M %S %p %B %b %A %a %j %e %% %-d %-m|%-H %-I %-M %-S %-j %-y %f'", "2024 24 02 05 13 01 04 09 PM February Feb Monday Mon 036  5 % 5 2|13 1 4 9 36 24 000000")]
    [InlineData("1999-12-31T00:59:59", "'%I:%M %p, %d%b%Y %h'", "12:59 AM, 31Dec1999 Dec")]
    [InlineData("2026-07-09T12:30", "format='%A, %B %-d, %Y at %I:%M %p'", "Thursday, July 9, 2026 at 12:30 PM")]
    [InlineData("2000-01-01 23:00:01", "'no directive \\u00e9'", "no directive é")]
    [InlineData("2000-01-01", "''", "")]
    public void ADateIsFormattedAsPythonDoes(string date, string format, string expected) =>
        Assert.Equal(expected, Render($"{{{{ strftime_now({format}) }}}}", $"{{\"strftime_now\": \"{date}\"}}"));

    [Theory]
    [InlineData("{}", "FalseTrue|26 Jul 2024")]
    [InlineData("{\"strftime_now\": \"2026-12-01\"}", "TrueTrue|01 Dec 2026")]
    public void ATemplateSeesWhetherThereIsADate(string variables, string expected) => Assert.Equal(
        expected, Render("{{ strftime_now is defined }}{{ strftime_now is callable }}|{{ strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' }}", variables));

    [Fact]
    public void WithoutADateTheTemplateIsRefusedWithWhatToGive()
    {
        var failure = Assert.Throws<ChatTemplateException>(() => Render("{{ strftime_now('%Y') }}", "{}"));
        Assert.Contains("give it a date by `chat_template_kwargs`, such as {\"strftime_now\": \"2026-12-01\"}", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"today\"")]
    [InlineData("\"2026-13-01\"")]
    [InlineData("\"2026-02-29\"")]
    [InlineData("\"2026-12-01T25:00:00\"")]
    [InlineData("\"01.12.2026\"")]
    [InlineData("\"\"")]
    [InlineData("20261201")]
    [InlineData("null")]
    [InlineData("true")]
    public void WhatIsNoDateIsRefusedWhenItIsGiven(string value) => Assert.Contains(
        "'strftime_now' must be the date", Assert.Throws<ChatTemplateException>(() => TemplateArguments.Parse($"{{\"strftime_now\": {value}}}")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("'%q'", "'%q' in strftime_now() is not known")]
    [InlineData("'%-p'", "'%-p' in strftime_now() is not known")]
    [InlineData("'%Z'", "'%Z' in strftime_now() is not known")]
    [InlineData("'100%'", "'%' in strftime_now() is not known")]
    [InlineData("'%-'", "'%-' in strftime_now() is not known")]
    [InlineData("1", "'strftime_now' needs a text")]
    [InlineData("", "'strftime_now' needs the argument 'format'")]
    [InlineData("'%B' * 8000000", "makes a text of more than")]
    public void WhatIsNotKnownIsNamed(string format, string message) => Assert.Contains(
        message, Assert.Throws<ChatTemplateException>(() => Render($"{{{{ strftime_now({format}) }}}}", "{\"strftime_now\": \"2026-12-01\"}")).Message, StringComparison.Ordinal);

    [Fact]
    public void ToolsLeaveTheDateThere()
    {
        using var tools = System.Text.Json.JsonDocument.Parse("[]");
        TemplateArguments arguments = TemplateArguments.Parse("{\"strftime_now\": \"2026-12-01\"}").With(tools.RootElement);
        Assert.Equal("2026", ChatTemplate.Parse("{{ strftime_now('%Y') }}").Render([], "", "", addGenerationPrompt: false, arguments));
    }

    private static string Render(string template, string variables) =>
        ChatTemplate.Parse(template).Render([new ChatMessage("user", "Hi")], "", "", addGenerationPrompt: false, TemplateArguments.Parse(variables));
}
