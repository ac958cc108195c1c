using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.Reports;

/// <summary>report.html: what stands in it, that it is always the same, and that nothing in a report can become markup.</summary>
public sealed partial class ReportHtmlTests
{
    private const string Attack = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'` --><svg onload=alert(3)>\u202e";

    [Fact]
    public void APageHasEveryPart()
    {
        string page = ReportHtml.Write(SampleReports.Named("out", SampleReports.Full()));
        foreach (string part in new[] { "Verdict", "Loss and size", "Where it differs", "What it says", "Layers", "Blocks, time and memory", "Tasks", "Make it again" })
            Assert.Contains($">{part}</h2>", page, StringComparison.Ordinal);
        Assert.Contains("76 % less than round to nearest", page, StringComparison.Ordinal);
        Assert.Contains("Format tokens suffer more than text", page, StringComparison.Ordinal);
        Assert.Contains("1 of 2 continuations end in a loop", page, StringComparison.Ordinal);
        Assert.Contains("&lt;tool_call&gt;", page, StringComparison.Ordinal);
        Assert.DoesNotContain("in_depth", page, StringComparison.Ordinal);
        // The noise floor: a line of the picture, the tile, a sentence.
        Assert.Contains("class=\"line s7 dashed\"", page, StringComparison.Ordinal);
        Assert.Contains("noise floor of bf16: 0.00021", page, StringComparison.Ordinal);
        Assert.Contains("The result is at 196 times that.", page, StringComparison.Ordinal);
        Assert.Contains("clipped", page, StringComparison.Ordinal);
        // Tasks: paired differences, those of the distributions over choices, and a note of what is worse beyond its interval.
        Assert.Contains("−1.62 ± 0.63", page, StringComparison.Ordinal);
        Assert.Contains("+31 −53", page, StringComparison.Ordinal);
        Assert.Contains("Divergence over the choices", page, StringComparison.Ordinal);
        Assert.Contains("by more than the interval of 95 %: hellaswag −1.62 ± 0.63 points.", page, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatWasNotMeasuredIsSaidInALine()
    {
        string page = ReportHtml.Write(SampleReports.Named("out", SampleReports.Full() with { Result = SampleReports.Full().Result! with { Depth = null } }), text => text.Replace("`in_depth`", "--in-depth", StringComparison.Ordinal));
        Assert.Contains("<code>--in-depth</code> measures them", page, StringComparison.Ordinal);
        Assert.Contains("Noise floor of bf16: not measured", page, StringComparison.Ordinal);
        string bare = ReportHtml.Write(SampleReports.Named("out", SampleReports.Bare()));
        Assert.Contains("no answers to tasks are recorded", bare, StringComparison.Ordinal);
        Assert.Contains("Nothing was measured", bare, StringComparison.Ordinal);
        Sound(bare);
    }

    // To scale where it is near the points; far below it stands at the foot and says so, as the points would have no room beside each other.
    [Theory]
    [InlineData(0.00021, ">↓ noise floor of bf16: 0.00021</text>")]
    [InlineData(0.0021, ">noise floor of bf16: 0.0021</text>")]
    [InlineData(0.3, ">noise floor of bf16: 0.30</text>")]
    public void TheNoiseFloorIsALineOfThePicture(double floor, string expected)
    {
        RunReport report = SampleReports.Full(2), other = report with { Result = report.Result! with { Depth = report.Result.Depth! with { Bf16Floor = new NoiseFloor(floor, null, 0.99) } } };
        Assert.Contains(expected, ReportHtml.Write(SampleReports.Named("out", other)), StringComparison.Ordinal);
        Assert.Contains(expected, ComparisonPage.Html([SampleReports.Named("a", report with { Result = report.Result with { Depth = null } }), SampleReports.Named("b", other)]), StringComparison.Ordinal);
        Assert.Contains("noise floor of bf16", ModelCard.Write(other, ModelCardSource.None, container: null), StringComparison.Ordinal);
    }

    [Fact]
    public void TheSameReportGivesTheSameBytes() =>
        Assert.Equal(ReportHtml.Write(SampleReports.Named("out", SampleReports.Full())), ReportHtml.Write(SampleReports.Named("out", SampleReports.Full())));

    [Fact]
    public void APageIsSoundAndFetchesNothing()
    {
        string page = ReportHtml.Write(SampleReports.Named("out", SampleReports.Full()));
        Sound(page);
        Assert.DoesNotMatch(Fetching(), page);
        Assert.Contains("default-src 'none'", page, StringComparison.Ordinal);
    }

    [Fact]
    public void TextsOfAReportStayTexts()
    {
        JsonNode whole = JsonSerializer.SerializeToNode(SampleReports.Full(blocks: 2) with { Quantizers = "a", RtnGrid = "b", SourceTypes = "c", OwnBlocks = ["d"], Precision = "e" }, RunJson.Default.RunReport)!;
        Poison(whole);
        RunReport report = whole.Deserialize(RunJson.Default.RunReport)!;
        string page = ReportHtml.Write(new ReportedResult(Attack, report, Attack));
        Sound(page);
        // One script and no element of a report: whatever is looked for is found where lrq put it alone.
        Assert.Single(Script().Matches(page));
        Assert.DoesNotContain("<img", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<svg onload", page, StringComparison.Ordinal);
        Assert.DoesNotContain('\u202e', page);
        Assert.DoesNotMatch(Handler(), page);
        string compared = ComparisonPage.Html([new ReportedResult(Attack, report, null), new ReportedResult(Attack, report, Attack)]);
        Sound(compared);
        Assert.Single(Script().Matches(compared));
        Assert.DoesNotContain("<img", ReportMarkdownTexts(report), StringComparison.Ordinal);
        string card = ModelCard.Write(report, ModelCardSource.None, container: "compressed-tensors");
        Assert.DoesNotContain("<script", Fence().Replace(card, ""), StringComparison.Ordinal);
        Assert.Equal(2, card.Split("```").Length - 1);
    }

    [Fact]
    public void NumbersThatAreNoneDoNoHarm()
    {
        foreach (double bad in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity, double.MaxValue, double.Epsilon, -1.0, 0.0 })
        {
            JsonNode whole = JsonSerializer.SerializeToNode(SampleReports.Full(blocks: 3), RunJson.Default.RunReport)!;
            Replace(whole, JsonSerializer.SerializeToNode(bad, RunJson.Default.Options.GetTypeInfo(typeof(double)))!);
            RunReport report = whole.Deserialize(RunJson.Default.RunReport)!;
            string page = ReportHtml.Write(new ReportedResult("out", report, null));
            Sound(page);
            Assert.DoesNotContain("NaN", ViewBoxes(page), StringComparison.Ordinal);
            Sound(ComparisonPage.Html([new ReportedResult("a", report, null), new ReportedResult("b", report, null)]));
        }
    }

    [Theory]
    [InlineData("""{"method":"a","scheme":"b","output":"c","blocks":[null]}""")]
    [InlineData("""{"method":null,"scheme":"b","output":"c"}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","warnings":null}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","warnings":[null]}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","result":{"standardErrors":null}}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","result":{"depth":{}}}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","engines":[{"engine":"x"}]}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","tasks":{"harness":"v0.4","tasks":{"quiz":null}}}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","tasks":{"harness":"v0.4","tasks":{"quiz":{"items":1,"metrics":{"acc":null}}}}}""")]
    [InlineData("""{"method":"a","scheme":"b","output":"c","tasks":{"harness":"v0.4","tasks":{"quiz":{"items":1,"groups":{"g":null}}}}}""")]
    [InlineData("""{"scheme":"b"}""")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("")]
    public void DamageIsRefused(string json) => Assert.Throws<InvalidDataException>(() => ReportFiles.Parse(System.Text.Encoding.UTF8.GetBytes(json), "report.json"));

    [Fact]
    public void DepthIsBounded()
    {
        string deep = """{"method":"a","scheme":"b","output":"c","x":""" + new string('[', 100_000) + new string(']', 100_000) + "}";
        Assert.Throws<InvalidDataException>(() => ReportFiles.Parse(System.Text.Encoding.UTF8.GetBytes(deep), "report.json"));
    }

    [Fact]
    public void SizeIsBounded()
    {
        RunReport report = SampleReports.Full(blocks: 2) with
        {
            Tensors = [.. Enumerable.Range(0, 40_000).Select(i => new TensorReport(i % 900, $"experts.{i}.up", 1, 1, "w3", 3, 0, 3, 0.1))],
            Warnings = [.. Enumerable.Repeat(new string('w', 10_000), 1000)],
            Sample = new string('s', 5_000_000),
        };
        string page = ReportHtml.Write(new ReportedResult("out", report, new string('r', 1_000_000)));
        Assert.InRange(page.Length, 1, 4 << 20);
        Sound(page);
    }

    [Fact]
    public void AnEarlierReportIsRead()
    {
        RunReport report = ReportFiles.Parse("""{"method":"rtn","scheme":"w4","output":"out","seconds":3,"blocks":[{"index":0,"lossBefore":null,"lossAfter":null,"heldOutLoss":null,"heldOutLossBefore":null,"seconds":1}]}"""u8, "report.json");
        Assert.Empty(report.Tensors);
        Assert.Null(report.Origin);
        Sound(ReportHtml.Write(new ReportedResult("out", report, null)));
    }

    // Pages have no empty elements that XML would not close, but for those of the head.
    internal static void Sound(string page)
    {
        string xml = Void().Replace(page[page.IndexOf("<html", StringComparison.Ordinal)..], match => match.Value[..^1] + "/>");
        xml = Own().Replace(xml, "");
        xml = xml.Replace(" data-sort>", " data-sort=\"\">", StringComparison.Ordinal);
        var document = XDocument.Parse(xml);
        string[] ids = [.. document.Descendants().Select(element => (string?)element.Attribute("id")).OfType<string>()];
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.All(document.Descendants().Attributes("href"), link => Assert.Contains(link.Value[1..], ids));
        int level = 0;
        foreach (XElement heading in document.Descendants().Where(element => Heading().IsMatch(element.Name.LocalName)))
        {
            int own = heading.Name.LocalName[1] - '0';
            Assert.True(own <= level + 1, $"h{own} behind h{level}: {heading.Value}");
            level = own;
        }
    }

    private static string ReportMarkdownTexts(RunReport report) => ReportMarkdown.Write(report with { Sample = null, Warnings = [], Method = "m", Scheme = "s" });

    private static string ViewBoxes(string page) => string.Concat(Box().Matches(page).Select(match => match.Value));

    private static void Poison(JsonNode node)
    {
        if (node is JsonObject table)
        {
            foreach ((string key, JsonNode? value) in table.ToArray())
            {
                if (value is JsonValue one && one.GetValueKind() == JsonValueKind.String && key is not ("addBos" or "format" or "part")) table[key] = Attack;
                else if (value is not null) Poison(value);
            }
        }
        else if (node is JsonArray list)
        {
            for (int i = 0; i < list.Count; i++)
            {
                if (list[i] is JsonValue one && one.GetValueKind() == JsonValueKind.String) list[i] = Attack;
                else if (list[i] is { } value) Poison(value);
            }
        }
    }

    // Whole numbers stay what they are: a reader refuses others in their places.
    private static void Replace(JsonNode node, JsonNode bad)
    {
        if (node is JsonObject table)
        {
            foreach ((string key, JsonNode? value) in table.ToArray())
            {
                if (value is JsonValue one && one.GetValueKind() == JsonValueKind.Number && one.ToJsonString().Contains('.', StringComparison.Ordinal)) table[key] = bad.DeepClone();
                else if (value is not null) Replace(value, bad);
            }
        }
        else if (node is JsonArray list)
        {
            foreach (JsonNode? value in list) if (value is not null) Replace(value, bad);
        }
    }

    [GeneratedRegex("```.*?```", RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex("<script")]
    private static partial Regex Script();

    [GeneratedRegex("(src|href|url)\\s*[=(]\\s*[\"']?(?!#)[a-z/]")]
    private static partial Regex Fetching();

    [GeneratedRegex("<[^>]*\\son[a-z]+=")]
    private static partial Regex Handler();

    [GeneratedRegex("<(meta|link|br|hr)\\b[^>]*>")]
    private static partial Regex Void();

    [GeneratedRegex("<(style|script)>.*?</\\1>", RegexOptions.Singleline)]
    private static partial Regex Own();

    [GeneratedRegex("^h[1-6]$")]
    private static partial Regex Heading();

    [GeneratedRegex("(viewBox|points|x|y|x1|x2|y1|y2|width|height|cx|cy)=\"[^\"]*\"")]
    private static partial Regex Box();
}
