using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Tests.Quantization.Planning;

/// <summary>The demo model with small recipes, for tests of plans.</summary>
internal sealed class PlannedDemo : IDisposable
{
    public const int Samples = 6, HeldOut = 2, Length = 32;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public PlannedDemo() => Model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);

    public CausalModel Model { get; }

    public Recipe Recipe(string scheme, string method, params (string Key, object Value)[] options) => Recipe(new RecipeRequest { Scheme = scheme, Method = method, Options = Asked.For(options) });

    public Recipe Recipe(RecipeRequest request) => RecipeResolver.Resolve(
        BuiltInMethods.Catalog, request with { Samples = Samples, HeldOut = HeldOut, SequenceLength = Length, HasCalibration = true },
        Model.Config, Model.Layout, Model.Checkpoint.NativeScaleType).Recipe;

    public MemoryPlan Memory(Recipe recipe) => MemoryPlan.For(Model.Config, Model.Layout, recipe, 4L << 30);

    public BlockTiming Time(Recipe recipe) => BlockTiming.Measure(Model, recipe, 1 << 30, TestContext.Current.CancellationToken);

    public void Dispose()
    {
        Model.Dispose();
        _device.Dispose();
    }
}
