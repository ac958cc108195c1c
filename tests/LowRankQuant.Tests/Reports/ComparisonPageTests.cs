using System.Text.Json.Nodes;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.Reports;

/// <summary>Several results on one page: only what was measured on one text against one original stands in one ranking.</summary>
public sealed class ComparisonPageTests
{
    private static readonly ReportedResult Three = SampleReports.Named("w3", SampleReports.Full(2)), Four = SampleReports.Named("w4", SampleReports.Full(2, "flexround", 0.011, 4.13));

    private static readonly ReportedResult Elsewhere = SampleReports.Named("other", SampleReports.Full(2, "awq", 0.03, 3.5, new string('b', 64)));

    [Fact]
    public void ResultsOfOneTextStandTogether()
    {
        Assert.Empty(ComparisonPage.Warnings([Three, Four]));
        ResultGroup group = Assert.Single(ResultGroup.Of([Three, Four]));
        Assert.Equal("wikitext-2-test.txt, 204,400 tokens, against Qwen/Qwen3-0.6B", group.Title);
        string page = ComparisonPage.Html([Three, Four]);
        Assert.Contains("<h2 id=\"r1\" tabindex=\"-1\">w3</h2>", page, StringComparison.Ordinal);
        Assert.Contains("id=\"r2-verdict\"", page, StringComparison.Ordinal);
        Assert.Contains("| w4 | flexround |", ComparisonPage.Markdown([Three, Four]), StringComparison.Ordinal);
    }

    [Fact]
    public void OneFileReadInAnotherWayIsAnotherText()
    {
        MeasuredText measured = Four.Report.Measured!;
        ReportedResult Read(MeasuredText text) => Four with { Report = Four.Report with { Measured = text } };
        Assert.Equal(2, ResultGroup.Of([Three, Read(measured with { Join = TextJoin.Spaces })]).Count);
        Assert.Equal(2, ResultGroup.Of([Three, Read(measured with { MostRows = 5 })]).Count);
        Assert.Equal(2, ResultGroup.Of([Three, Read(measured with { ChatArguments = "{}" })]).Count);
        Assert.Single(ResultGroup.Of([Three, Read(measured with { Windows = 100, InDepth = true })]));
    }

    [Fact]
    public void ResultsOfSeveralTextsAreNotRankedTogether()
    {
        Assert.Equal(2, ResultGroup.Of([Three, Elsewhere, Four]).Count);
        Assert.Equal(["text 1, SHA-2", "text 2, SHA-2"], ResultGroup.Of([Three, Elsewhere]).Select(group => group.Title.Split(": ")[1][..13]));
        Assert.Contains("not all measured on the same text", Assert.Single(ComparisonPage.Warnings([Three, Elsewhere, Four])), StringComparison.Ordinal);
        Assert.Contains("<b>Warning:</b>", ComparisonPage.Html([Three, Elsewhere]), StringComparison.Ordinal);
        Assert.Contains("**Warning:**", ComparisonPage.Markdown([Three, Elsewhere]), StringComparison.Ordinal);
        JsonNode json = JsonNode.Parse(ComparisonPage.Json([Three, Elsewhere, Four]))!;
        Assert.Equal(2, json["groups"]!.AsArray().Count);
        Assert.Equal(["w3", "w4"], json["groups"]![0]!["results"]!.AsArray().Select(name => (string)name!));
        Assert.Equal("awq", (string)json["results"]![1]!["report"]!["method"]!);
    }

    [Fact]
    public void AnotherOriginalIsAnotherGroup()
    {
        RunReport report = Four.Report with { Origin = Four.Report.Origin! with { ModelHash = new string('d', 64) } };
        Assert.Equal(2, ResultGroup.Of([Three, Four with { Report = report }]).Count);
    }

    [Fact]
    public void HeldOutWindowsOfTwoRunsAreNotOneText()
    {
        RunReport Own(string? data) => Three.Report with { Measured = Three.Report.Measured! with { Sha256 = null }, EvaluationSource = "held-out calibration windows", Origin = data is null ? null : Three.Report.Origin! with { DataHash = data } };
        Assert.Single(ResultGroup.Of([Three with { Report = Own("a") }, Four with { Report = Own("a") }]));
        Assert.Equal(2, ResultGroup.Of([Three with { Report = Own("a") }, Four with { Report = Own("b") }]).Count);
        Assert.Equal(2, ResultGroup.Of([Three with { Report = Own(null) }, Four with { Report = Own(null) }]).Count);
    }

    [Fact]
    public void WhatWasNotMeasuredIsApartAndSaid()
    {
        ReportedResult bare = SampleReports.Named("bare", SampleReports.Bare());
        Assert.Contains("not measured", Assert.Single(ComparisonPage.Warnings([Three, bare])), StringComparison.Ordinal);
        Assert.Contains("Not measured", ComparisonPage.Html([Three, bare]), StringComparison.Ordinal);
    }

    [Fact]
    public void EarlierReportsAreTakenForEqualAndItIsSaid()
    {
        RunReport Earlier(RunReport report) => report with { Measured = null, Origin = null };
        ReportedResult[] results = [Three with { Report = Earlier(Three.Report) }, Four with { Report = Earlier(Four.Report) }];
        Assert.Single(ResultGroup.Of(results));
        Assert.Contains("earlier version", Assert.Single(ComparisonPage.Warnings(results)), StringComparison.Ordinal);
    }

    [Fact]
    public void ResultsOfOneNameAreToldApart() =>
        Assert.Equal(["w3", "w3 (2)", "w3 (3)"], ResultGroup.Named([Three, Three, Three]).Select(result => result.Name));

    [Fact]
    public void AMarkIsRaisedWhereTheMethodDidHarm()
    {
        RunReport report = Three.Report with { Result = Three.Report.Result! with { KlDivergence = 0.2, Depth = null } };
        Assert.Contains(Verdict.Marks(report), mark => mark.Kind == MarkKind.RedFlag && mark.Text.Contains("more than round to nearest", StringComparison.Ordinal));
        Assert.Contains("17 % more than round to nearest", Verdict.Sentence(report), StringComparison.Ordinal);
        RunReport even = report with { Result = report.Result with { KlDivergence = 0.1713 } };
        Assert.Contains(Verdict.Marks(even), mark => mark.Kind == MarkKind.Note && mark.Text.Contains("two standard errors", StringComparison.Ordinal));
        Assert.Equal(MarkKind.Fine, Verdict.Marks(report with { Rtn = null, Warnings = [], Result = new EvaluationResult { KlDivergence = 0.1, Top1Agreement = 0.9 } })[0].Kind);
    }
}
