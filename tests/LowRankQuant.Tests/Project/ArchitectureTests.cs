namespace LowRankQuant.Tests.Project;

/// <summary>Data flows one way: no two namespaces use each other, not even through others.</summary>
public class ArchitectureTests
{
    private const string Prefix = "LowRankQuant.";

    private static NamespaceGraph Compiled() => NamespaceGraph.Of(
        Directory.EnumerateFiles(AppContext.BaseDirectory, "LowRankQuant.*.dll").Append(Path.Combine(AppContext.BaseDirectory, "lrq.dll"))
            .Where(file => !Path.GetFileName(file).StartsWith("LowRankQuant.Tests", StringComparison.Ordinal)), Prefix);

    [Fact]
    public void NamespacesHaveNoCycles()
    {
        NamespaceGraph graph = Compiled();
        Assert.Contains("LowRankQuant.Numerics.Kernels", graph.Namespaces);
        Assert.Contains("LowRankQuant.Cli", graph.Namespaces);
        IEnumerable<string> problems = graph.Cycles().Select(cycle => $"{string.Join(", ", cycle)}:\n" + string.Concat(graph.Edges
            .Where(edge => cycle.Contains(edge.From) && cycle.Contains(edge.To)).Select(edge => $"    {edge.From[Prefix.Length..]} -> {edge.To[Prefix.Length..]} ({edge.Example})\n")));
        Assert.True(!problems.Any(), string.Join("\n", problems));
    }

    [Fact]
    public void ACycleThroughThirdsIsFound()
    {
        var graph = new NamespaceGraph();
        graph.Add("a", "b", "");
        graph.Add("b", "c", "");
        Assert.Empty(graph.Cycles());
        graph.Add("c", "a", "");
        graph.Add("c", "d", "");
        Assert.Equal(["a", "b", "c"], Assert.Single(graph.Cycles()));
    }

    [Fact]
    public void EdgesComeFromBodiesAndGenericArguments()
    {
        var edges = Compiled().Edges.ToDictionary(edge => (edge.From, edge.To), edge => edge.Example);
        // A generic argument in a body alone makes the first, a signature the second.
        Assert.Contains(("LowRankQuant.Formats.Gguf", "LowRankQuant.Formats.Gguf.Blocks.Codebooks"), edges.Keys);
        Assert.Contains(("LowRankQuant.Numerics.Autograd", "LowRankQuant.Numerics"), edges.Keys);
        Assert.DoesNotContain(edges.Keys, edge => edge.From.StartsWith("LowRankQuant.Numerics", StringComparison.Ordinal) && edge.To.StartsWith("LowRankQuant.Models", StringComparison.Ordinal));
    }
}
