using System.Xml.Linq;

namespace LowRankQuant.Tests.Project;

/// <summary>Projects depend in one direction only: a solver never sees a writer, a format never sees a model.</summary>
public class ProjectReferenceTests
{
    // Each project may refer to those before it. A new project takes its place here.
    private static readonly string[] Order = ["Numerics", "Formats", "Models", "Quantization", "Evaluation", "Runs", "Hub", "Cli"];

    // Recipes are YAML; requests to a hub are made again as Polly times them.
    private static readonly Dictionary<string, string[]> Packages = new() { ["LowRankQuant.Quantization"] = ["YamlDotNet", "Parquet.Net", "ZstdSharp.Port"], ["LowRankQuant.Hub"] = ["Polly.Core"] };

    private static string Source => Path.Combine(TestData.RepositoryRoot, "src");

    private static List<(string Project, string[] References)> Projects() =>
        [.. Directory.EnumerateFiles(Source, "*.csproj", SearchOption.AllDirectories).Select(path =>
            (Path.GetFileNameWithoutExtension(path), References(XDocument.Load(path), "ProjectReference")))];

    private static string[] References(XDocument project, string element) =>
        [.. project.Descendants(element).Select(reference => (string?)reference.Attribute("Include") ?? "").Select(include =>
            Path.GetFileName(include.Replace('\\', '/')).Replace(".csproj", ""))];

    private static List<string> Violations(IEnumerable<(string Project, string[] References)> projects)
    {
        List<string> violations = [];
        foreach ((string project, string[] references) in projects)
        {
            int rank = Rank(project);
            if (rank < 0) violations.Add($"{project} has no place in the order of projects: add it to {nameof(Order)}.");
            foreach (string reference in references)
            {
                int other = Rank(reference);
                if (other < 0) violations.Add($"{project} refers to {reference}, which has no place in the order of projects.");
                else if (rank >= 0 && other >= rank) violations.Add($"{project} refers upwards to {reference}; move what it needs down.");
            }
        }
        return violations;
    }

    private static int Rank(string project) =>
        project.StartsWith("LowRankQuant.", StringComparison.Ordinal) ? Array.IndexOf(Order, project["LowRankQuant.".Length..]) : -1;

    [Fact]
    public void ReferencesPointDownwards() => Assert.Empty(Violations(Projects()));

    [Fact]
    public void EveryProjectOfTheOrderExists() =>
        Assert.Equal(Order.Select(name => "LowRankQuant." + name).Order(), Projects().Select(project => project.Project).Order());

    [Fact]
    public void LibrariesUseNoPackagesButThoseChosen()
    {
        // The command line is the one place for others.
        foreach (string path in Directory.EnumerateFiles(Source, "*.csproj", SearchOption.AllDirectories).Where(path => Path.GetFileName(path) != "LowRankQuant.Cli.csproj").Some())
            Assert.Equal(Packages.GetValueOrDefault(Path.GetFileNameWithoutExtension(path), []), References(XDocument.Load(path), "PackageReference"));
    }

    [Fact]
    public void TheSolutionListsEveryProject()
    {
        XDocument solution = XDocument.Load(Path.Combine(TestData.RepositoryRoot, "LowRankQuant.slnx"));
        string[] listed = [.. solution.Descendants("Project").Select(project => (string)project.Attribute("Path")!)];
        Assert.All(Projects(), project => Assert.Contains($"src/{project.Project}/{project.Project}.csproj", listed));
    }

    [Fact]
    public void AnUpwardReferenceWouldBeFound()
    {
        Assert.Single(Violations([("LowRankQuant.Formats", ["LowRankQuant.Numerics", "LowRankQuant.Models"])]));
        Assert.Single(Violations([("LowRankQuant.Formats", ["LowRankQuant.Formats"])]));
        Assert.Single(Violations([("LowRankQuant.Cli", ["LowRankQuant.Tests"])]));
        Assert.Single(Violations([("LowRankQuant.Unheard", [])]));
        Assert.Equal(["A", "B"], References(XDocument.Parse("<Project><X Include='../A/A.csproj'/><X Include='..\\B\\B.csproj'/></Project>"), "X"));
    }
}
