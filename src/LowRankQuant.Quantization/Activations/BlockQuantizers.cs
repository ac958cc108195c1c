using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Activations;

/// <summary>
/// The quantizers of one block: of the inputs of its linears, and of the keys and values that it makes. They are in the block between <see cref="Install"/> and
/// <see cref="Remove"/>. Static steps are as they will be stored.
/// </summary>
public sealed class BlockQuantizers : IDisposable
{
    private const string InputPrefix = "input.", CachePrefix = "cache.", Scale = ".scale", Found = ".found_scale", ZeroPoint = ".zero_point";
    private readonly IDecoderBlock _block;
    private readonly Device _device;
    private readonly List<InputQuantizer> _inputs;
    private readonly List<CacheQuantizer> _caches;

    internal BlockQuantizers(IDecoderBlock block, Device device, List<InputQuantizer> inputs, List<CacheQuantizer> caches) =>
        (_block, _device, _inputs, _caches) = (block, device, inputs, caches);

    /// <summary>Quantizers of inputs, each with the slots that share it.</summary>
    internal IReadOnlyList<InputQuantizer> Inputs => _inputs;

    /// <summary>Quantizers of keys and values.</summary>
    internal IReadOnlyList<CacheQuantizer> Caches => _caches;

    /// <summary>What was found about every input; empty where steps are read back.</summary>
    public IReadOnlyList<SiteReport> Reports { get; internal set; } = [];

    /// <summary>Puts the quantizers into the block.</summary>
    public void Install()
    {
        foreach (InputQuantizer input in _inputs)
        {
            foreach (LinearSlot slot in input.Slots) slot.InputQuantizer = input.Quantizer;
        }
        foreach (CacheQuantizer cache in _caches) cache.Site.Quantizer = cache.Quantizer;
    }

    /// <summary>Takes them out.</summary>
    public void Remove()
    {
        foreach (InputQuantizer input in _inputs)
        {
            foreach (LinearSlot slot in input.Slots) slot.InputQuantizer = null;
        }
        foreach (CacheQuantizer cache in _caches) cache.Site.Quantizer = null;
    }

    /// <summary>Installs them until the result is disposed of.</summary>
    public IDisposable Use()
    {
        Install();
        return new Usage(this);
    }

    /// <summary>Gives an input other steps.</summary>
    /// <param name="place">Its number among <see cref="Inputs"/>.</param>
    /// <param name="steps">One.</param>
    internal void SetSteps(int place, float[] steps)
    {
        InputQuantizer old = _inputs[place];
        old.Quantizer.Dispose();
        _inputs[place] = InputQuantizer.Static(_device, old.Slots, old.Quantizer.Grid, steps, old.ZeroPoints) with { Found = old.Found ?? old.Steps };
    }

    /// <summary>Static steps and zero points as tensors, by the names of slots and caches.</summary>
    public IEnumerable<PendingTensor> Tensors()
    {
        foreach (InputQuantizer input in _inputs.Where(input => input.Steps.Length > 0))
        {
            foreach (LinearSlot slot in input.Slots)
            {
                foreach (PendingTensor tensor in Pair(InputPrefix + slot.Name, input.Steps, input.ZeroPoints)) yield return tensor;
                if (input.Found is { } found) yield return PendingTensor.FromSingles(InputPrefix + slot.Name + Found, SafetensorsType.F32, [found.Length], found);
            }
        }
        for (int i = 0; i < _caches.Count; i++)
        {
            if (_caches[i].Steps.Length == 0) continue;
            foreach (PendingTensor tensor in Pair($"{CachePrefix}{i}", _caches[i].Steps, _caches[i].ZeroPoints)) yield return tensor;
        }
    }

    /// <summary>Dynamic quantizers of the keys and values of a block.</summary>
    public static BlockQuantizers OfCache(IDecoderBlock block, CacheRecipe caches, Device device)
    {
        foreach (CacheSite site in block.Caches) site.BeforeRotation = caches.BeforeRotation && site.Kind == CacheKind.Keys;
        return new BlockQuantizers(block, device, [], [.. block.Caches.Select(site => CacheQuantizer.Dynamic(site, caches.Grid))]);
    }

    /// <summary>Reads what <see cref="Tensors"/> wrote.</summary>
    /// <param name="block">The block, loaded again.</param>
    /// <param name="activations">Quantizers of inputs; null for none.</param>
    /// <param name="caches">Quantizers of keys and values; null for none.</param>
    /// <param name="file">The tensors.</param>
    /// <param name="device">Where the block computes.</param>
    /// <param name="asFound">With the steps that were found, in the place of those that were learned from there.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or unsound.</exception>
    public static BlockQuantizers Read(IDecoderBlock block, ActivationRecipe? activations, CacheRecipe? caches, ISafetensorsSource file, Device device, bool asFound = false)
    {
        var inputs = new List<InputQuantizer>();
        if (activations is not null)
        {
            var perToken = new List<LinearSlot>();
            // Slots that share an input have the same steps, and slots that do not but have the same may share a quantizer too.
            foreach (IGrouping<(float, float)?, LinearSlot> same in block.Slots.GroupBy(slot => StepsOf(file, activations.Grid, InputPrefix + slot.Name, asFound)))
            {
                if (same.Key is not { } pair) perToken.AddRange(same);
                else inputs.Add(InputQuantizer.Static(device, [.. same], activations.Grid, [pair.Item1], activations.Grid.Symmetric ? [] : [pair.Item2]));
            }
            if (perToken.Count > 0) inputs.Add(InputQuantizer.Dynamic(perToken, activations.TokenGrid));
        }
        var remembered = new List<CacheQuantizer>();
        for (int i = 0; caches is not null && i < block.Caches.Count; i++)
        {
            block.Caches[i].BeforeRotation = caches.BeforeRotation && block.Caches[i].Kind == CacheKind.Keys;
            remembered.Add(caches.Grid.IsDynamic
                ? CacheQuantizer.Dynamic(block.Caches[i], caches.Grid)
                : CacheQuantizer.Static(device, block.Caches[i], caches.Grid, Values(file, $"{CachePrefix}{i}{Scale}"), caches.Grid.Symmetric ? [] : Values(file, $"{CachePrefix}{i}{ZeroPoint}")));
        }
        return new BlockQuantizers(block, device, inputs, remembered);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Remove();
        foreach (InputQuantizer input in _inputs) input.Quantizer.Dispose();
        foreach (CacheQuantizer cache in _caches) cache.Quantizer.Dispose();
    }

    private static (float, float)? StepsOf(ISafetensorsSource file, ActivationGrid grid, string name, bool asFound)
    {
        if (!file.Contains(name + Scale)) return null;
        return (Values(file, asFound && file.Contains(name + Found) ? name + Found : name + Scale)[0], grid.Symmetric ? 0 : Values(file, name + ZeroPoint)[0]);
    }

    private static IEnumerable<PendingTensor> Pair(string name, float[] steps, float[] zeroPoints)
    {
        yield return PendingTensor.FromSingles(name + Scale, SafetensorsType.F32, [steps.Length], steps);
        if (zeroPoints.Length > 0) yield return PendingTensor.FromSingles(name + ZeroPoint, SafetensorsType.F32, [zeroPoints.Length], zeroPoints);
    }

    private static float[] Values(ISafetensorsSource file, string name)
    {
        var values = new float[file.ShapeOf(name)[0]];
        file.ReadSingles(name, values);
        return values;
    }

    private sealed class Usage(BlockQuantizers quantizers) : IDisposable
    {
        public void Dispose() => quantizers.Remove();
    }
}

/// <summary>A quantizer with the slots whose input it rounds.</summary>
/// <param name="Slots">The slots.</param>
/// <param name="Quantizer">It.</param>
/// <param name="Steps">Its static step; empty where steps come from the values.</param>
/// <param name="ZeroPoints">As many zero points; empty where they are 0 or come from the values.</param>
internal sealed record InputQuantizer(IReadOnlyList<LinearSlot> Slots, GridQuantizer Quantizer, float[] Steps, float[] ZeroPoints)
{
    /// <summary>The step that was found from ranges, where <see cref="Steps"/> was learned from there; else null.</summary>
    public float[]? Found { get; init; }

    public static InputQuantizer Dynamic(IReadOnlyList<LinearSlot> slots, ActivationGrid grid) => new(slots, GridQuantizer.Dynamic(grid), [], []);

    public static InputQuantizer Static(Device device, IReadOnlyList<LinearSlot> slots, ActivationGrid grid, float[] steps, float[] zeroPoints) =>
        new(slots, GridQuantizer.Static(device, grid, steps, zeroPoints), steps, zeroPoints);
}

/// <summary>A quantizer of keys or values.</summary>
/// <param name="Site">Where it works.</param>
/// <param name="Quantizer">It.</param>
/// <param name="Steps">Its static steps, one or one a head; empty where they come from the values.</param>
/// <param name="ZeroPoints">As many zero points; empty where they are 0 or come from the values.</param>
internal sealed record CacheQuantizer(CacheSite Site, GridQuantizer Quantizer, float[] Steps, float[] ZeroPoints)
{
    public static CacheQuantizer Dynamic(CacheSite site, ActivationGrid grid) => new(site, GridQuantizer.Dynamic(grid, site.Heads), [], []);

    public static CacheQuantizer Static(Device device, CacheSite site, ActivationGrid grid, float[] steps, float[] zeroPoints) =>
        new(site, GridQuantizer.Static(device, grid, steps, zeroPoints), steps, zeroPoints);
}

/// <summary>What became of the input of some linears.</summary>
/// <param name="Name">Names of the linears within the block.</param>
/// <param name="Grid">The grid.</param>
/// <param name="Step">The static step; null where steps come from the values.</param>
/// <param name="Error">|x^ - x| / |x| over the calibration tokens that were looked at.</param>
public sealed record SiteReport(string Name, string Grid, float? Step, double Error);
