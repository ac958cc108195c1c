using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Families;

/// <summary>Blocks with recurrent mixers: gradients, states that end with their window, trees of tokens.</summary>
public sealed class HybridBlockTests : IDisposable
{
    // Beyond a chunk of the recurrences, the last one cut.
    private const int Windows = 2, Length = 70;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public static TheoryData<string, int> Recurrent => new()
    {
        { "qwen3_5_text", 0 }, { "qwen3_next", 0 }, { "kimi_linear", 0 }, { "lfm2", 0 }, { "lfm3", 0 }, { "granitemoehybrid_dense", 0 }, { "nemotron_h", 0 }, { "falcon_h1", 0 },
        { "falcon_h1_norm", 1 }, { "bamba", 0 }, { "mamba2", 0 }, { "jamba", 0 },
    };

    public void Dispose() => _device.Dispose();

    [Theory]
    [MemberData(nameof(Recurrent))]
    [InlineData("qwen3_5_text", 1)]
    [InlineData("lfm3", 1)]
    [InlineData("nemotron_h", 1)]
    public void EveryLinearHasItsGradient(string name, int block)
    {
        using CausalModel model = Open(name);
        string[] linears = [.. model.LinearsOf(block).Where(linear => !linear.IsExpert).Select(linear => linear.Name)];
        Assert.NotEmpty(linears);
        BlockGradients.Check(model, block, linears, Windows, Length);
    }

    [Theory]
    [MemberData(nameof(Recurrent))]
    public void NothingPassesFromOneWindowToTheNext(string name, int block)
    {
        using CausalModel model = Open(name);
        using IDecoderBlock loaded = model.LoadBlock(block);
        int width = model.Config.HiddenSize;
        float[] first = BlockGradients.Gaussian(SeededRandom.Derive(1), Length * width, 1), second = BlockGradients.Gaussian(SeededRandom.Derive(2), Length * width, 1);
        float[] alone = Forward(second, 1), together = Forward([.. first, .. second], 2);
        Assert.True(ForwardTrace.RelativeError(alone, together.AsSpan(Length * width)) < 1e-6);

        float[] Forward(float[] x, int windows)
        {
            using var tape = new Tape(_device, recording: false);
            return loaded.Forward(tape, new Variable(_device.From(x, windows * Length, width)), new SequenceShape(windows, Length)).Value.ToArray();
        }
    }

    /// <summary>abcdef, then from behind abc: gh, and from behind abcg: i. Each branch as if it had come alone.</summary>
    [Theory]
    [MemberData(nameof(Recurrent))]
    public void BranchesOfATreeAreThoseOfTheirOwnTokens(string name, int block)
    {
        using CausalModel model = Open(name);
        using IDecoderBlock loaded = model.LoadBlock(block);
        int width = model.Config.HiddenSize;
        float[] rows = BlockGradients.Gaussian(SeededRandom.Derive(3), 9 * width, 1);
        using var tape = new Tape(_device, recording: false);
        using IMixerState lane = loaded.CreateState(_device, 8);
        LaneRows[] tree = [new(0, 6, 0), new(6, 2, 3), new(8, 1, 4)];
        float[] together = loaded.Forward(tape, new Variable(_device.From(rows, 9, width)), ForwardPass.OfLanes([new LaneWork(lane, tree)])).Value.ToArray();
        foreach (int[] branch in new int[][] { [0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 7], [0, 1, 2, 6, 8] })
        {
            float[] own = [.. branch.SelectMany(row => rows.AsSpan(row * width, width).ToArray())];
            float[] alone = loaded.Forward(tape, new Variable(_device.From(own, branch.Length, width)), new SequenceShape(1, branch.Length)).Value.ToArray();
            for (int i = 0; i < branch.Length; i++)
                Assert.True(ForwardTrace.RelativeError(alone.AsSpan(i * width, width), together.AsSpan(branch[i] * width, width).ToArray()) < 1e-5, $"row {branch[i]}");
        }
    }

    private CausalModel Open(string name) => new(HuggingFaceCheckpoint.Open(TestData.Path("golden", "hybrids", name)), _device);
}
