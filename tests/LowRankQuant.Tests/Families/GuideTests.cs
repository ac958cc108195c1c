using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Families;

/// <summary>The guide to adding a family shows a family that builds and runs.</summary>
public sealed class GuideTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void TheGuideShowsTheFileThatIsBuilt()
    {
        string guide = File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "docs", "guide", "add-a-family.md"));
        string built = File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "tests", "LowRankQuant.Tests", "Families", "ExampleFamily.cs"));
        Assert.Contains($"```csharp\n{built.ReplaceLineEndings("\n").TrimEnd('\n')}\n```", guide.ReplaceLineEndings("\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void AFamilyOfSomebodyElseRuns()
    {
        string folder = _folder.File("model");
        FamilyModels.Write("models/qwen3", folder);
        string file = Path.Combine(folder, "config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
        float[] known = Run(HuggingFaceCheckpoint.Open(folder));
        config["model_type"] = "example";
        config["sliding_window"] = null;
        File.WriteAllText(file, config.ToJsonString());
        Assert.Equal(known, Run(HuggingFaceCheckpoint.Open(folder, families: [new ExampleFamily()])));
        config["sliding_window"] = 2;
        File.WriteAllText(file, config.ToJsonString());
        Assert.NotEqual(known, Run(HuggingFaceCheckpoint.Open(folder, families: [new ExampleFamily()])));
    }

    public void Dispose() => _folder.Dispose();

    private static float[] Run(HuggingFaceCheckpoint checkpoint)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(checkpoint, device);
        int[] ids = [.. Enumerable.Range(0, 9)];
        using var tape = new Tape(device, recording: false);
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using InputEmbedding embedding = model.LoadEmbedding();
        embedding.Embed(ids, x);
        using IDecoderBlock block = model.LoadBlock(0);
        return block.Forward(tape, new Variable(x), new SequenceShape(1, ids.Length)).Value.ToArray();
    }
}
