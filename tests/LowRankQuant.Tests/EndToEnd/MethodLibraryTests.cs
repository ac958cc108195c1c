using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>The sample method, in a library of its own, is a method like all others: in help, recipes, plans and runs, without a line anywhere else.</summary>
public sealed class MethodLibraryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    // Beside the tests' own configuration.
    private static string Library => Path.Combine(
        TestData.RepositoryRoot, "samples", "LowRankQuant.Samples", "bin", new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name, "net10.0", "LowRankQuant.Samples.dll");

    [Fact]
    public async Task TheSampleShowsInHelpRecipesAndPlanAndRuns()
    {
        Assert.Contains("shrunk-range", (await Run("methods")).Out, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^--range +X +0\.9 +Part of the range", (await Run("methods", "shrunk-range")).Out);
        Assert.Contains("--range", (await Run("help", "quantize", "all")).Out, StringComparison.Ordinal);
        (int code, string recipe) = await Run("recipe", TestData.Demo, "--method", "shrunk-range", "--bits", "3", "--range", "0.8");
        Assert.Equal(0, code);
        Assert.Contains("shrunk-range:\n    range: 0.8", recipe, StringComparison.Ordinal);
        string file = _folder.File("recipe.yaml");
        File.WriteAllText(file, recipe);
        (code, string plan) = await Run("plan", TestData.Demo, "--recipe", file);
        Assert.True(code == 0, plan);
        Assert.Contains("shrunk-range, w3 asymmetric", plan, StringComparison.Ordinal);
        string output = _folder.File("out");
        (code, string run) = await Run("quantize", TestData.Demo, "--recipe", file, "--out", output);
        Assert.True(code == 0, run);
        Assert.Contains("shrunk-range: round to nearest on 0.8 of the range of the weights", run, StringComparison.Ordinal);
        Assert.Contains("\"shrunk-range\"", File.ReadAllText(Path.Combine(output, "recipe.json")), StringComparison.Ordinal);
        (code, string foreign) = await Run("quantize", TestData.Demo, "--method", "rtn", "--range", "0.8", "--out", _folder.File("other"));
        Assert.Equal(2, code);
        Assert.Contains("--range does not apply to method rtn; it is an option of shrunk-range.", foreign, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsNoLibraryOfMethodsIsRefused()
    {
        string text = _folder.File("text.dll");
        File.WriteAllText(text, "no library");
        Assert.Contains("cannot be loaded", Assert.Throws<RequestException>(() => MethodLibraries.Join(BuiltInMethods.Catalog, [text])).Message, StringComparison.Ordinal);
        Assert.Contains("cannot be loaded", Assert.Throws<RequestException>(() => MethodLibraries.Join(BuiltInMethods.Catalog, [_folder.File("none.dll")])).Message, StringComparison.Ordinal);
        Assert.Contains("holds no public", Assert.Throws<RequestException>(() => MethodLibraries.Join(BuiltInMethods.Catalog, [typeof(LowRankQuant.Formats.AtomicFile).Assembly.Location])).Message, StringComparison.Ordinal);
        Assert.Contains("two methods named 'shrunk-range'", Assert.Throws<RequestException>(() => MethodLibraries.Join(BuiltInMethods.Catalog, [Library, Library])).Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private static async Task<(int Code, string Out)> Run(params string[] args)
    {
        MethodCatalog catalog = MethodLibraries.Join(BuiltInMethods.Catalog, [Library]);
        var text = new StringWriter();
        int code = await new App(new Terminal(text, text, false, false), Engine.Default with { Methods = catalog }).RunAsync(args, TestContext.Current.CancellationToken);
        return (code, text.ToString());
    }
}
