using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>Inputs of linears kept on the way through a block: what methods make of them is what they make of passes of their own.</summary>
public sealed class RecordedInputsTests : IDisposable
{
    private const int Training = 3, HeldOut = 2;
    private static readonly int[] Lengths = [24, 24, 17, 24, 9];

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });
    private readonly CausalModel _model;
    private readonly IDecoderBlock _block;

    public RecordedInputsTests()
    {
        _model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        _block = _model.LoadBlock(0);
    }

    public void Dispose()
    {
        _block.Dispose();
        _model.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("flrq", long.MaxValue)]
    [InlineData("flrq+", long.MaxValue)]
    [InlineData("flrq+", 0)]
    [InlineData("qera-exact", 0)]
    public void AMethodMakesTheSameOfThem(string name, long memory)
    {
        QuantizedBlock computed = Quantize(name, record: false, memory), read = Quantize(name, record: true, memory);
        for (int i = 0; i < _block.Slots.Count; i++)
        {
            var (first, second) = ((UniformWeight)computed.Weights[i], (UniformWeight)read.Weights[i]);
            Assert.Equal(first.Codes, second.Codes);
            Assert.Equal(first.Scales, second.Scales);
            Assert.Equal(first.Branch?.A, second.Branch?.A);
            Assert.Equal(first.Branch?.B, second.Branch?.B);
            Assert.Equal(computed.Layers[i].ErrorAfter, read.Layers[i].ErrorAfter);
        }
    }

    [Fact]
    public void TheyGoToDiskWhereMemoryIsShortAndLeaveNothingBehind()
    {
        using (ActivationStream stream = Stream(0))
        {
            using var recorded = new RecordedInputs(stream);
            recorded.Advance(_block, TestContext.Current.CancellationToken);
            // All but those of the first stage, which nobody has to compute.
            Assert.Equal(["self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"], _block.Slots.Where(recorded.Has).Select(slot => slot.Name));
            // The states, and each of these.
            Assert.Equal(4, Directory.GetFiles(_folder.Path).Length);
            Assert.All(_block.Slots, slot => Assert.Null(slot.InputObserver));
            // The next block's go to the same places.
            using IDecoderBlock next = _model.LoadBlock(1);
            recorded.Advance(next, TestContext.Current.CancellationToken);
            Assert.Equal(4, Directory.GetFiles(_folder.Path).Length);
            Assert.DoesNotContain(_block.Slots, recorded.Has);
            Assert.Equal(3, next.Slots.Count(recorded.Has));
            recorded.Forget();
            Assert.DoesNotContain(next.Slots, recorded.Has);
        }
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void ADiskIsNotFilledWithThem()
    {
        Assert.Null(ActivationStore.WhereThereIsRoom(1 << 20, 1 << 15, 1 << 15, new MemoryBudget(0), _folder.Path));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    private QuantizedBlock Quantize(string name, bool record, long memory)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Recipe recipe = RecipeResolver.Resolve(
            BuiltInMethods.Catalog, new RecipeRequest { Method = name, Bits = 3, GroupSize = 32, HasCalibration = true, Options = name == "qera-exact" ? Asked.For(("rank", 4)) : Asked.For() }, _model.Config, _model.Layout, ScaleType.Float16).Recipe;
        using ActivationStream full = Stream(memory), quantized = full.Fork(), target = full.Fork();
        using RecordedInputs? recorded = record ? new RecordedInputs(target) : null;
        if (recorded is not null) recorded.Advance(_block, cancellation);
        else target.Advance(_block, null, cancellation);
        // The quantized model is another one.
        using IDecoderBlock noise = _model.LoadBlock(1);
        quantized.Advance(noise, null, cancellation);
        var streams = new BlockStreams(quantized, target, Training) { FullPrecisionInput = full, FullPrecisionInputs = recorded };
        return recipe.Method.Create().Quantize(new BlockContext { Block = _block, Device = _device, Scheme = recipe.Scheme, Streams = streams, Seed = 5, Cancellation = cancellation });
    }

    private ActivationStream Stream(long memory) => ActivationStream.Embed(
        _model, [.. Lengths.Select((length, window) => Enumerable.Range(0, length).Select(i => (i * (window + 3)) % _model.Config.VocabularySize).ToArray())],
        new StreamOptions(new MemoryBudget(memory), _folder.Path));
}
