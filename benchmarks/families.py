"""Models that others wrote, by the library they come from, for `models_of_others.py`.

Every family is a function that yields (name, function that builds the model). All have random
weights and small inputs: the layers are those of the usual sizes. The libraries are optional; none
downloads anything here.
"""

import keras
from keras import layers, ops

SIDES = {"Xception": 96, "InceptionV3": 96, "InceptionResNetV2": 96}

# Layers and operations on images of 8x8x4, between two convolutions.
TOYS = {
    "Conv2D": lambda x: layers.Conv2D(6, 3)(x),
    "grouped Conv2D": lambda x: layers.Conv2D(6, 3, groups=2)(x),
    "dilated Conv2D": lambda x: layers.Conv2D(6, 3, dilation_rate=2)(x),
    "Conv2DTranspose": lambda x: layers.Conv2DTranspose(6, 3, strides=2)(x),
    "DepthwiseConv2D": lambda x: layers.DepthwiseConv2D(3)(x),
    "SeparableConv2D": lambda x: layers.SeparableConv2D(6, 3)(x),
    "ConvLSTM1D": lambda x: layers.ConvLSTM1D(4, 3, return_sequences=True)(x),
    "Dense": lambda x: layers.Dense(6, activation="relu")(x),
    "EinsumDense": lambda x: layers.EinsumDense("abcd,de->abce", (None, 8, 6))(x),
    "BatchNormalization": lambda x: layers.BatchNormalization()(x),
    "LayerNormalization": lambda x: layers.LayerNormalization()(x),
    "RMSNormalization": lambda x: layers.RMSNormalization()(x),
    "GroupNormalization": lambda x: layers.GroupNormalization(2)(x),
    "UnitNormalization": lambda x: layers.UnitNormalization()(x),
    "SpectralNormalization": lambda x: layers.SpectralNormalization(layers.Conv2D(6, 3))(x),
    "Normalization": lambda x: layers.Normalization(mean=1.0, variance=4.0)(x),
    "Rescaling": lambda x: layers.Rescaling(0.5, 1)(x),
    "ReLU": lambda x: layers.ReLU()(x),
    "ReLU(6)": lambda x: layers.ReLU(6)(x),
    "LeakyReLU": lambda x: layers.LeakyReLU()(x),
    "PReLU": lambda x: layers.PReLU(shared_axes=(1, 2))(x),
    "ELU": lambda x: layers.ELU()(x),
    "Activation": lambda x: layers.Activation("hard_silu")(x),
    "Softmax": lambda x: layers.Softmax()(x),
    "MaxPooling2D": lambda x: layers.MaxPooling2D(2)(x),
    "AveragePooling2D": lambda x: layers.AveragePooling2D(2)(x),
    "GlobalAveragePooling2D": lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x),
    "GlobalMaxPooling2D": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    "UpSampling2D": lambda x: layers.UpSampling2D()(x),
    "ZeroPadding2D": lambda x: layers.ZeroPadding2D()(x),
    "Cropping2D": lambda x: layers.Cropping2D()(x),
    "Resizing": lambda x: layers.Resizing(5, 5)(x),
    "Permute": lambda x: layers.Permute((2, 1, 3))(x),
    "Reshape": lambda x: layers.Reshape((4, 16, 4))(x),
    "Dropout": lambda x: layers.Dropout(0.5)(x),
    "SpatialDropout2D": lambda x: layers.SpatialDropout2D(0.5)(x),
    "GaussianNoise": lambda x: layers.GaussianNoise(0.5)(x),
    "RandomFlip": lambda x: layers.RandomFlip()(x),
    "ActivityRegularization": lambda x: layers.ActivityRegularization(0.1)(x),
    "Identity": lambda x: layers.Identity()(x),
    "Add": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x)]),
    "Subtract": lambda x: layers.Subtract()([x, layers.Conv2D(4, 1)(x)]),
    "Multiply": lambda x: layers.Multiply()([x, layers.Conv2D(4, 1)(x)]),
    "Average": lambda x: layers.Average()([x, layers.Conv2D(4, 1)(x)]),
    "Maximum": lambda x: layers.Maximum()([x, layers.Conv2D(4, 1)(x)]),
    "Minimum": lambda x: layers.Minimum()([x, layers.Conv2D(4, 1)(x)]),
    "Concatenate": lambda x: layers.Concatenate()([x, x]),
    "Lambda": lambda x: layers.Lambda(lambda y: y * 2)(x),
    "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 4)(x, x),
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.Conv1D(6, 3, padding="same"))(x),
    "x / 127.5 - 1": lambda x: x / 127.5 - 1,
    "1 - x": lambda x: 1 - x,
    "x[:, ::2, ::2]": lambda x: x[:, ::2, ::2],
    "ops.mean": lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "ops.split": lambda x: ops.concatenate(ops.split(x, 2, axis=-1)[::-1], axis=-1),
    "ops.silu": lambda x: ops.silu(x),
    "ops.pad": lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "inner Sequential": lambda x: keras.Sequential([layers.Conv2D(6, 3), layers.ReLU()])(x),
}


def _toy(compute):
    start = keras.Input((8, 8, 3))
    x = compute(layers.Conv2D(4, 3, padding="same", activation="relu")(start))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x))
    return keras.Model(start, layers.Dense(2)(x))


def toys():
    """Yield small models with one kind of layer each."""
    for name, compute in TOYS.items():
        yield name, lambda compute=compute: _toy(compute)


def applications():
    """Yield the models of every function of keras.applications that builds one."""
    for name, build in sorted(vars(keras.applications).items()):
        if name[0].isupper() and callable(build):
            shape = (SIDES.get(name, 64),) * 2 + (3,)
            yield (
                name,
                lambda build=build, shape=shape: build(
                    weights=None, input_shape=shape, classifier_activation=None
                ),
            )


KIMM = (
    "ConvMixer736D32",
    "ConvNeXtAtto",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetLiteB0",
    "EfficientNetV2B0",
    "GhostNetW050",
    "GhostNetV2W100",
    "GhostNetV3W050",
    "HGNetTiny",
    "HGNetV2B0",
    "InceptionNeXtTiny",
    "InceptionV3",
    "LCNet035",
    "MobileNetV2W050",
    "MobileNetV3W050Small",
    "MobileNetV3W100LargeMinimal",
    "MobileOneS0",
    "MobileViTXXS",
    "MobileViTV2W050",
    "RegNetX002",
    "RegNetY002",
    "RepVGGA0",
    "ResNet18",
    "ResNet50",
    "TinyNetE",
    "VisionTransformerTiny32",
    "Xception",
)


def image_models():
    """Yield the smallest model of each architecture in `kimm` (Keras Image Models)."""
    from kimm import models

    for name in KIMM:
        shape = (SIDES.get(name, 64),) * 2 + (3,)
        yield (
            name,
            lambda name=name, shape=shape: getattr(models, name)(
                input_shape=shape, weights=None, classes=10
            ),
        )


def hub_models():
    """Yield small image models of KerasHub."""
    from keras_hub import models as hub

    image = {"image_shape": (64, 64, 3)}
    stem = {"input_conv_filters": [64], "input_conv_kernel_sizes": [3]}
    stages = {
        "stackwise_num_filters": [64, 128],
        "stackwise_num_blocks": [1, 2],
        "stackwise_num_strides": [1, 2],
    }
    csp = {
        "stem_filters": 16,
        "stem_kernel_size": 3,
        "stem_strides": 2,
        "stackwise_depth": [1, 2],
        "stackwise_strides": [2, 2],
        "stackwise_num_filters": [16, 32],
    }
    for kind in ("basic_block", "bottleneck_block"):
        for v2 in (False, True):
            yield (
                f"ResNetBackbone {kind} {'v2' if v2 else 'v1'}",
                lambda kind=kind, v2=v2: hub.ResNetBackbone(
                    block_type=kind, use_pre_activation=v2, **stem, **stages, **image
                ),
            )
    yield "VGGBackbone", lambda: hub.VGGBackbone([1, 1], [8, 16], **image)
    yield (
        "DenseNetBackbone",
        lambda: hub.DenseNetBackbone([2, 2], compression_ratio=0.5, growth_rate=8, **image),
    )
    for kind in ("dark_block", "edge_block", "bottleneck_block"):
        yield (
            f"CSPNetBackbone {kind}",
            lambda kind=kind: hub.CSPNetBackbone(
                block_type=kind, stage_type="dark", **csp, **image
            ),
        )
    yield (
        "XceptionBackbone",
        lambda: hub.XceptionBackbone([[8, 16], [16, 32]], [True, False], **image),
    )
    yield (
        "HGNetV2Backbone",
        lambda: hub.HGNetV2Backbone(
            depths=[1, 2],
            embedding_size=16,
            hidden_sizes=[16, 32],
            stem_channels=[3, 8, 16],
            hidden_act="relu",
            use_learnable_affine_block=False,
            stackwise_stage_filters=[(16, 8, 16, 1, 1, 3), (16, 8, 32, 2, 1, 3)],
            apply_downsample=[False, True],
            use_lightweight_conv_block=[False, True],
            **image,
        ),
    )
    yield (
        "EfficientNetBackbone",
        lambda: hub.EfficientNetBackbone(
            stackwise_kernel_sizes=[3, 3, 5],
            stackwise_num_repeats=[1, 2, 2],
            stackwise_input_filters=[16, 16, 24],
            stackwise_output_filters=[16, 24, 40],
            stackwise_expansion_ratios=[1, 4, 4],
            stackwise_squeeze_and_excite_ratios=[0, 0.25, 0.25],
            stackwise_strides=[1, 2, 2],
            stackwise_block_types=["fused", "unfused", "unfused"],
            stackwise_width_coefficients=[1.0] * 3,
            stackwise_depth_coefficients=[1.0] * 3,
            stackwise_force_input_filters=[0] * 3,
            stackwise_nores_option=[False] * 3,
            num_features=64,
            input_shape=(64, 64, 3),
        ),
    )
    yield (
        "MobileNetBackbone",
        lambda: hub.MobileNetBackbone(
            stackwise_expansion=[[40, 56], [64, 144]],
            stackwise_num_blocks=[2, 2],
            stackwise_num_filters=[[16, 16], [24, 24]],
            stackwise_kernel_size=[[3, 3], [5, 5]],
            stackwise_num_strides=[[2, 1], [2, 1]],
            stackwise_se_ratio=[[None, None], [0.25, 0.25]],
            stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
            stackwise_padding=[[1, 1], [2, 2]],
            output_num_filters=64,
            input_activation="hard_swish",
            output_activation="hard_swish",
            input_num_filters=16,
            depthwise_filters=8,
            depthwise_stride=2,
            depthwise_residual=False,
            last_layer_filter=64,
            squeeze_and_excite=0.5,
            **image,
        ),
    )
    yield (
        "ViTBackbone",
        lambda: hub.ViTBackbone(
            patch_size=(16, 16), num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, **image
        ),
    )
    yield (
        "MiTBackbone",
        lambda: hub.MiTBackbone(
            layerwise_depths=[1, 1],
            num_layers=2,
            layerwise_num_heads=[1, 2],
            layerwise_sr_ratios=[2, 1],
            max_drop_path_rate=0.1,
            layerwise_patch_sizes=[7, 3],
            layerwise_strides=[4, 2],
            hidden_dims=[8, 16],
            **image,
        ),
    )
    yield (
        "SwinTransformerBackbone",
        lambda: hub.SwinTransformerBackbone(
            embed_dim=16, depths=(1, 1), num_heads=(1, 2), window_size=4, **image
        ),
    )


def segmentation_models():
    """Yield the decoders of `segmodels_keras` on four encoders."""
    import segmodels_keras

    for decoder in ("Unet", "FPN", "Linknet", "PSPNet"):
        build = getattr(segmodels_keras, decoder)
        side = 96 if decoder == "PSPNet" else 64
        for encoder in ("resnet18", "vgg16", "mobilenetv2", "efficientnetb0"):
            yield (
                f"{decoder} {encoder}",
                lambda build=build, encoder=encoder, side=side: build(
                    encoder, input_shape=(side, side, 3), encoder_weights=None, classes=3
                ),
            )


FAMILIES = {
    "toy models": toys,
    "keras.applications": applications,
    "KIMM": image_models,
    "KerasHub": hub_models,
    "segmodels-keras": segmentation_models,
}
