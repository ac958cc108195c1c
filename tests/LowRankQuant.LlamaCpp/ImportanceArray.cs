using System.Runtime.InteropServices;

namespace LowRankQuant.LlamaCpp;

/// <summary>An array of llama_model_imatrix_data (name, values, number of values), ended by an entry without a name.</summary>
internal sealed unsafe class ImportanceArray : IDisposable
{
    private readonly List<GCHandle> _pinned = [];

    public ImportanceArray(IReadOnlyDictionary<string, float[]> importance)
    {
        nint[] entries = new nint[3 * (importance.Count + 1)];
        int at = 0;
        foreach ((string name, float[] values) in importance)
        {
            entries[at++] = Pin(LlamaEngine.Utf8(name));
            entries[at++] = Pin(values);
            entries[at++] = values.Length;
        }
        Address = Pin(entries);
    }

    public nint Address { get; }

    public void Dispose()
    {
        foreach (GCHandle handle in _pinned) handle.Free();
        _pinned.Clear();
    }

    private nint Pin(Array array)
    {
        GCHandle handle = GCHandle.Alloc(array, GCHandleType.Pinned);
        _pinned.Add(handle);
        return handle.AddrOfPinnedObject();
    }
}
