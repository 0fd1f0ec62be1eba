from .mobilenets import mobilenet_v1 as mobilenet_v1
from .mobilenets import mobilenet_v2 as mobilenet_v2
from .nasnets import nasnet as nasnet
from .wide_resnets import wide_resnet as wide_resnet
